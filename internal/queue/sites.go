package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sites is Admin's.
func (q *Queue) Sites(ctx context.Context) (Traffic, error) {
	if err := q.load(ctx); err != nil {
		return Traffic{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := Traffic{Sites: []Site{}, Suspended: []Suspension{}}
	for _, s := range q.sites {
		t.Sites = append(t.Sites, q.showSite(s))
	}
	slices.SortFunc(t.Sites, func(a, b Site) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Source, b.Source))
	})
	for _, s := range q.suspended {
		t.Suspended = append(t.Suspended, *s)
	}
	slices.SortFunc(t.Suspended, func(a, b Suspension) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Site, b.Site))
	})
	return t, nil
}

// showSite is a site for operators. Under q.mu.
func (q *Queue) showSite(s *site) Site {
	d := Site{
		Site: s.key.name, Source: q.sourceName(s.key.source), Ready: s.ready(), Busy: s.busy,
		Window: s.window.open(), Max: s.window.max, Cut: s.window.cutAt.time(), CutWhy: s.window.why,
	}
	if s.trouble.fails > 0 {
		d.Fails, d.Until, d.Why = s.trouble.fails, s.trouble.until.time(), resultOf(&s.trouble.last)
	}
	for _, r := range s.queues {
		if stop := r.stop(); stop != nil {
			d.Suspended = stop.words()
		}
		for _, m := range r.meters {
			if !slices.Contains(d.Limits, m.limit.Match) {
				d.Limits = append(d.Limits, m.limit.Match)
			}
		}
	}
	return d
}

// Load is the traffic in figures, for metrics.
type Load struct {
	Sites     int // known at the moment
	Busy      int // attempts under way
	Window    int // attempts that there might be
	Cut       int // sites whose window was cut
	Troubled  int // sites to which nothing goes, for a while
	Suspended int // suspensions
}

// Load is the traffic now.
func (q *Queue) Load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := Load{Sites: len(q.sites), Busy: q.lanes, Suspended: len(q.suspended)}
	now := q.now()
	for _, s := range q.sites {
		l.Window += s.window.open()
		if !s.window.plain() {
			l.Cut++
		}
		if s.blocked(now) {
			l.Troubled++
		}
	}
	return l
}

// why says what an entry waits for, and until when, if that is known. Under q.mu.
func (q *Queue) why(e *entry) (string, time.Time) {
	switch {
	case e.is(fBusy):
		return "is being tried", time.Time{}
	case e.is(fDropping):
		return "is being dropped", time.Time{}
	case e.state == sHeld:
		return "held by an operator", time.Time{}
	case e.is(fSender):
		return "held by its sender", e.due.time()
	case e.state == sWaiting && e.attempts == 0:
		return "waits for its time", e.due.time()
	case e.state == sWaiting:
		return "waits for its next attempt after the last failed", e.due.time()
	case e.line == nil:
		return "waits for the server to run", time.Time{}
	case e.line.ready == nil:
		return q.whyNoRoute(e.dest.lookup)
	}
	return q.whyNotSent(e.line.ready)
}

func (q *Queue) whyNoRoute(l *lookup) (string, time.Time) {
	if l != nil && l.trouble.fails > 0 && !l.asking {
		return "the way to its domain is not found: " + resultOf(&l.trouble.last), l.trouble.until.time()
	}
	return "the way to its domain is being looked up", time.Time{}
}

// whyNotSent is why for an entry whose site is known, in the order in which
// mayBegin looks. Under q.mu.
func (q *Queue) whyNotSent(r *ready) (string, time.Time) {
	s, now := r.site, q.now()
	switch stop := r.stop(); {
	case stop != nil:
		return stop.words(), time.Time{}
	case s.trouble.fails > 0 && now < s.trouble.until:
		return fmt.Sprintf("nothing goes to its mail hosts after %d failures: %s", s.trouble.fails, resultOf(&s.trouble.last)), s.trouble.until.time()
	case s.trouble.probing:
		return "its mail hosts are being tried with another message: " + resultOf(&s.trouble.last), time.Time{}
	}
	for _, m := range r.meters {
		switch {
		case m.full():
			return fmt.Sprintf("the limit of %d connections for %q is reached", m.limit.Connections, m.limit.Match), time.Time{}
		case now < m.next:
			return fmt.Sprintf("the limit of %s for %q is reached", m.limit.MessageRate, m.limit.Match), m.next.time()
		}
	}
	text := fmt.Sprintf("waits for its turn: %d wait for these mail hosts, %d of %d attempts are under way", s.ready(), s.busy, s.window.open())
	if s.window.why != "" {
		text += "; they were fewer since " + strings.TrimSpace(s.window.why)
	}
	return text, time.Time{}
}
