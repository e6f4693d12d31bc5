package queue

import (
	"strconv"
	"strings"

	"posthouse/internal/courier"
	"posthouse/internal/shaping"
)

// meter counts what a limit counts: all it matches from one source, or each site
// of that.
type meter struct {
	limit *shaping.Limit
	key   string
	uses  int      // ready queues under it
	busy  int      // attempts under way
	next  moment   // when the next may begin
	queue []*ready // those that it keeps from beginning
}

// full reports whether no other attempt may be under way.
func (m *meter) full() bool { return m.limit.Connections > 0 && m.busy >= m.limit.Connections }

// begun counts an attempt that begins now.
func (m *meter) begun(now moment) {
	m.busy++
	if !m.limit.MessageRate.IsZero() {
		m.next = now.add(m.limit.MessageRate.Interval())
	}
}

// passOn gives the turn of one that cannot take it to the next under the same
// limits. Under q.mu.
func (q *Queue) passOn(r *ready) {
	for _, m := range r.meters {
		if m.full() || len(m.queue) == 0 {
			continue
		}
		next := m.queue[0]
		m.queue[0] = nil
		m.queue = m.queue[1:]
		next.metered = false
		q.enrol(next)
	}
}

// limited reports whether a limit keeps r from beginning; it gets a turn when
// that has passed. Under q.mu.
func (q *Queue) limited(r *ready, now moment) bool {
	for _, m := range r.meters {
		if m.full() {
			if !r.metered {
				r.metered = true
				m.queue = append(m.queue, r)
			}
			return true
		}
		if now < m.next {
			q.wakeReady(r, m.next)
			return true
		}
	}
	return false
}

// readyOf gives the queue of a site for a domain: domains with limits of their
// own, or that are suspended, do not share one. Under q.mu.
func (q *Queue) readyOf(s *site, d *dest, route *courier.Route) *ready {
	var own []string
	for i := range q.opt.Limits {
		if q.opt.Limits[i].NamesDomain(d.name) {
			own = append(own, strconv.Itoa(i))
		}
	}
	stop := q.suspended["d"+d.name]
	if stop != nil {
		own = append(own, d.name)
	}
	limits := strings.Join(own, " ")
	for _, r := range s.queues {
		if r.limits == limits {
			return r
		}
	}
	r := &ready{site: s, limits: limits, suspended: stop}
	for b := range r.lines {
		r.lines[b].ready = r
	}
	q.measure(r, d, route)
	s.queues = append(s.queues, r)
	return r
}

// measure puts r under its limits. Under q.mu.
func (q *Queue) measure(r *ready, d *dest, route *courier.Route) {
	s, source := r.site, q.sourceName(r.site.key.source)
	hosts := make([]string, len(route.Hosts))
	for i := range route.Hosts {
		hosts[i] = route.Hosts[i].Name
	}
	if len(hosts) == 0 {
		hosts = []string{s.key.name}
	}
	most := 0
	for i := range q.opt.Limits {
		l := &q.opt.Limits[i]
		scope := l.Applies(source, d.name, hosts)
		if scope == shaping.None {
			continue
		}
		key := strconv.Itoa(i) + " " + source
		if l.EachSite {
			key += " " + s.key.name
		}
		m := q.meters[key]
		if m == nil {
			m = &meter{limit: l, key: key}
			q.meters[key] = m
		}
		m.uses++
		r.meters = append(r.meters, m)
		r.caps = append(r.caps, courier.Cap{Key: key, Open: l.Connections, Rate: l.ConnectionRate})
		if n := l.MessagesPerConnection; n > 0 && (r.perConn == 0 || n < r.perConn) {
			r.perConn = n
		}
		if n := l.Connections; n > 0 && scope == shaping.Site && (most == 0 || n < most) {
			most = n
		}
	}
	if most > 0 {
		s.window.limit(most)
	}
}

// maxMeters is how many meters may be kept for the sake of a rate that was used.
const maxMeters = 10_000

// unmeasure takes a ready queue that is not needed any more from its meters.
// Under q.mu.
func (q *Queue) unmeasure(r *ready) {
	now := q.now()
	idle := func(m *meter) bool { return m.uses == 0 && (m.next <= now || len(q.meters) > maxMeters) }
	for _, m := range r.meters {
		if m.uses--; idle(m) {
			delete(q.meters, m.key)
		}
	}
	if len(q.meters) > maxMeters {
		for key, m := range q.meters {
			if idle(m) {
				delete(q.meters, key)
			}
		}
	}
}
