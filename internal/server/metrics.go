package server

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"posthouse/internal/classify"
	"posthouse/internal/journal"
	"posthouse/internal/space"
)

// metrics is what /metrics tells. Labels are never addresses or accounts.
type metrics struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	sessions *prometheus.GaugeVec
	opened   *prometheus.CounterVec
	refused  *prometheus.CounterVec
	ended    *prometheus.CounterVec
	unwanted *prometheus.CounterVec
	greylist *prometheus.CounterVec
	logins   *prometheus.CounterVec
	queue    *prometheus.GaugeVec
	attempts *prometheus.CounterVec
	tls      *prometheus.CounterVec
	tries    prometheus.Histogram
	accept   prometheus.Histogram
}

func newMetrics() *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "posthouse", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "posthouse", Name: name, Help: help}, labels)
	}
	buckets := prometheus.ExponentialBuckets(0.0005, 3, 12)
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events:   vec("message_events_total", "Steps in the stories of messages.", "kind"),
		sessions: gauge("sessions", "Sessions open now.", "door"),
		opened:   vec("sessions_total", "Sessions begun.", "door"),
		refused:  vec("sessions_refused_total", "Connections refused by a limit.", "door", "reason"),
		ended:    vec("sessions_ended_total", "Sessions by why they ended.", "door", "reason"),
		unwanted: vec("messages_refused_total", "Messages refused after their content, by enhanced status code.", "door", "code"),
		greylist: vec("greylist_total", "Recipients of protected domains, by what the greylist said.", "result"),
		logins:   vec("logins_total", "Attempts to log in.", "door", "result"),
		queue:    gauge("queue_entries", "Recipients waiting in the queue.", "state"),
		attempts: vec("delivery_attempts_total", "Attempts to hand mail to the next host, per recipient.", "result", "class"),
		tls:      vec("outbound_tls_total", "Sessions with other hosts, by what asked for TLS and how it came out.", "policy", "result"),
		tries: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "posthouse", Name: "delivery_attempt_seconds",
			Help: "Duration of attempts to hand mail on.", Buckets: buckets}),
		accept: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "posthouse", Name: "accept_seconds",
			Help: "From the last byte of a message to its acceptance.", Buckets: buckets}),
	}
	m.registry.MustRegister(m.events, m.sessions, m.opened, m.refused, m.ended, m.unwanted, m.greylist, m.logins, m.queue, m.attempts, m.tls, m.tries, m.accept,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observeEvent is a journal.Observer.
func (m *metrics) observeEvent(e *journal.Event) {
	m.events.WithLabelValues(string(e.Kind)).Inc()
	if e.Kind != journal.Accepted {
		return
	}
	for _, s := range e.Steps {
		if s.Name == "store" {
			m.accept.Observe(s.Took.Seconds())
		}
	}
}

// Depth is queue.Observer.
func (m *metrics) Depth(ready, waiting, held int) {
	m.queue.WithLabelValues("ready").Set(float64(ready))
	m.queue.WithLabelValues("waiting").Set(float64(waiting))
	m.queue.WithLabelValues("held").Set(float64(held))
}

// Attempt is queue.Observer.
func (m *metrics) Attempt(result string, class classify.Class, took time.Duration) {
	m.attempts.WithLabelValues(result, string(class)).Inc()
	m.tries.Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// ground registers what the store tells of itself.
func (m *metrics) ground(g *ground) {
	fn := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "posthouse", Name: name, Help: help}, value))
	}
	fn("disk_free_bytes", "Bytes free on the disk of the store.", func() float64 { return float64(g.space.Figures().Free) })
	fn("disk_reserve_bytes", "Bytes of them that new mail leaves.", func() float64 { return float64(g.space.Figures().Reserve) })
	for use := range space.Uses {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "posthouse", Name: "disk_refused_total", Help: "What was refused for want of room, by what it was for.",
			ConstLabels: prometheus.Labels{"use": use.String()},
		}, func() float64 { return float64(g.space.Figures().Refused[use]) }))
	}
	fn("bodies_bytes", "Bytes of message bodies on disk.", func() float64 { return float64(g.bodies.Stats().Bytes) })
	fn("bodies_dead_bytes", "Bytes of them that nothing refers to.", func() float64 { return float64(g.bodies.Stats().DeadBytes) })
	fn("bodies_syncs_total", "Syncs of the body log.", func() float64 { return float64(g.bodies.Stats().Fsyncs) })
	fn("bodies_damaged_total", "Reads that found a body lost or damaged.", func() float64 { return float64(g.bodies.Stats().Damaged) })
}
