package queue

import (
	"time"

	"posthouse/internal/courier"
)

// siteKey names a site: a set of mail hosts, and the source from which they are
// called. What one source learns of a host may not hold for another.
type siteKey struct {
	name   string
	source uint16
}

// site is what is known of the hosts, under Queue.mu. It is forgotten some time
// after its last mail.
type site struct {
	key     siteKey
	queues  []*ready
	busy    int           // attempts under way
	moved   moment        // when one last began or ended
	took    time.Duration // an attempt lately
	window  window
	trouble trouble
	wake    moment // of the alarm that is set; 0: none
	// suspended is that of an operator; nil: none.
	suspended *Suspension
}

// ready is the entries that may go to a site, by urgency. A domain with limits
// of its own has its own, so that it keeps nobody waiting.
type ready struct {
	site   *site
	lines  [bands]line
	n      int // in all lines
	picker picker
	limits string // that name its domains
	// suspended is that of its domain; nil: none.
	suspended *Suspension
	meters    []*meter
	caps      []courier.Cap
	perConn   int    // messages over one connection; 0: as the courier likes
	metered   bool   // in the queue of a meter
	enrolled  uint8  // bit per band of Queue.turns where it has a place
	crowded   bool   // in Queue.crowd
	wake      moment // of the alarm that is set; 0: none
}

// ready is how many entries could go. Under q.mu.
func (s *site) ready() int {
	n := 0
	for _, r := range s.queues {
		n += r.n
	}
	return n
}

// site gives the site of a route, made if it is new. Under q.mu.
func (q *Queue) site(name string, source uint16) *site {
	key := siteKey{name, source}
	s := q.sites[key]
	if s == nil {
		s = &site{key: key, suspended: q.suspensionOf(name)}
		s.window.init(q.perSite)
		q.sites[key] = s
	}
	return s
}

// waiting is the bands with entries, a bit for each.
func (r *ready) waiting() uint8 {
	var mask uint8
	for b := range r.lines {
		if r.lines[b].n > 0 {
			mask |= 1 << b
		}
	}
	return mask
}

// slow reports whether attempts take long.
func (s *site) slow() bool { return s.took > 30*time.Second }

// siteMemory is for how long a site without mail is remembered.
const siteMemory = time.Hour

// forgetSite drops a site with nothing to do: at once if there is nothing to
// remember of it, else later. Under q.mu.
func (q *Queue) forgetSite(s *site) {
	if s.busy > 0 || s.ready() > 0 || q.sites[s.key] != s {
		return
	}
	now := q.now()
	if s.window.plain() && s.trouble.fails == 0 && !s.slow() || now >= s.moved.add(siteMemory) {
		delete(q.sites, s.key)
		for _, r := range s.queues {
			q.unmeasure(r)
		}
		return
	}
	q.wakeSite(s, s.moved.add(siteMemory))
}

// picker shares turns among bands by weight: a band that always has something
// gets a turn for every 1, 2, 4, 8 or 16 units that the others are served.
// Unused turns are not saved up.
type picker struct {
	pass [bands]uint64
	last uint64
}

// pick chooses among the bands of a mask that is not 0.
func (p *picker) pick(mask uint8) band {
	best := bands
	for b := range bands {
		if mask&(1<<b) == 0 {
			continue
		}
		p.pass[b] = max(p.pass[b], p.last)
		if best == bands || p.pass[b] < p.pass[best] {
			best = b
		}
	}
	p.last = p.pass[best]
	p.pass[best] += 1 << best
	return best
}

// assign puts an entry where the next free lane of its site finds it. Under q.mu.
func (q *Queue) assign(e *entry, route *courier.Route) {
	s := q.site(route.Site, e.msg.source)
	r := q.readyOf(s, e.dest, route)
	r.lines[e.msg.band].push(e)
	r.n++
	q.enrol(r)
	if r.stopped(q.now()) {
		q.remind(e)
	}
}

// leastBand is the most urgent band of a mask that is not 0.
func leastBand(mask uint8) band {
	b := band(0)
	for mask&1 == 0 {
		mask >>= 1
		b++
	}
	return b
}
