package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"posthouse/internal/queue"
)

// traffic tells of the queue's sites in figures; single ones are in "queue sites".
type traffic struct {
	load  func() queue.Load
	descs []*prometheus.Desc
}

// trafficMetrics are the figures, in order.
var trafficMetrics = []struct {
	name, help string
	of         func(*queue.Load) int
}{
	{"posthouse_queue_sites", "Sets of mail hosts with traffic now or lately, per source.", func(l *queue.Load) int { return l.Sites }},
	{"posthouse_queue_attempts_busy", "Attempts under way.", func(l *queue.Load) int { return l.Busy }},
	{"posthouse_queue_window", "Attempts that the windows of all sites allow at once.", func(l *queue.Load) int { return l.Window }},
	{"posthouse_queue_sites_cut", "Sites whose window was cut lately.", func(l *queue.Load) int { return l.Cut }},
	{"posthouse_queue_sites_stopped", "Sites to which nothing goes for a while, after a failure.", func(l *queue.Load) int { return l.Troubled }},
	{"posthouse_queue_suspensions", "Domains and sites that an operator suspended.", func(l *queue.Load) int { return l.Suspended }},
}

func newTraffic(load func() queue.Load) *traffic {
	t := &traffic{load: load}
	for _, m := range trafficMetrics {
		t.descs = append(t.descs, prometheus.NewDesc(m.name, m.help, nil, nil))
	}
	return t
}

// Describe is prometheus.Collector.
func (t *traffic) Describe(out chan<- *prometheus.Desc) {
	for _, d := range t.descs {
		out <- d
	}
}

// Collect is prometheus.Collector.
func (t *traffic) Collect(out chan<- prometheus.Metric) {
	l := t.load()
	for i, m := range trafficMetrics {
		out <- prometheus.MustNewConstMetric(t.descs[i], prometheus.GaugeValue, float64(m.of(&l)))
	}
}
