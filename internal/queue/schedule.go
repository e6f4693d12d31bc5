package queue

import (
	"container/heap"
	"hash/fnv"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// message is what the schedule knows of a message.
type message struct {
	head
	id    id.ID
	total int      // rows there were when it came into the schedule; 1: it goes with its only entry
	left  int      // entries in the schedule
	full  *Message // at hand while it is new or being tried
	jobs  []*job   // not begun
	list  []*entry
}

// entry is what the schedule knows of one recipient. Fields are the schedule's,
// under Queue.mu, except row, which belongs to the attempt while busy.
type entry struct {
	msg      *message
	n        uint16
	state    State
	busy     bool // being tried
	notified bool
	dropping bool
	attempts int
	next     time.Time
	domain   string
	prepend  uint64 // hash of Prepend: only equal ones share a transaction
	row      *row   // at hand while new or being tried
	job      *job   // it waits in
	index    int    // in the heap; -1: not in it
}

// job is recipients of one message at one site: one transaction.
type job struct {
	msg     *message
	site    *site
	route   *courier.Route
	prepend uint64
	entries []*entry
	full    *Message // once it is being tried
}

// site is a set of mail hosts with its jobs.
type site struct {
	key    string
	ready  []*job
	lanes  int  // goroutines that work for it
	queued bool // in Queue.turn
}

// lookup is a domain whose route is not known yet.
type lookup struct {
	domain  string
	pending []*entry
}

func hashOf(s string) uint64 {
	if s == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// timers is the heap of waiting entries.
type timers []*entry

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].next.Before(t[j].next) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}
func (t *timers) Push(x any) {
	e := x.(*entry)
	e.index = len(*t)
	*t = append(*t, e)
}
func (t *timers) Pop() any {
	old := *t
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	e.index = -1
	return e
}

// setState moves an entry between the states and counts them. Under q.mu.
func (q *Queue) setState(e *entry, s State) {
	if e.state != "" {
		q.depth[e.state]--
	}
	if s != "" {
		q.depth[s]++
	}
	e.state = s
}

// wait puts an entry on the timer. Under q.mu.
func (q *Queue) wait(e *entry, next time.Time) {
	q.setState(e, Waiting)
	e.next = next
	e.job = nil
	if e.index >= 0 {
		heap.Fix(&q.timers, e.index)
	} else {
		heap.Push(&q.timers, e)
	}
	if e.index == 0 {
		select {
		case q.earlier <- struct{}{}:
		default:
		}
	}
}

// unwait takes an entry off the timer. Under q.mu.
func (q *Queue) unwait(e *entry) {
	if e.index >= 0 {
		heap.Remove(&q.timers, e.index)
	}
}

// makeReady puts an entry where its next free lane will find it. Under q.mu.
func (q *Queue) makeReady(e *entry) {
	q.unwait(e)
	q.setState(e, Ready)
	e.job = nil
	if q.opt.Courier == nil {
		return
	}
	if r, ok := q.opt.Courier.Known(e.domain); ok {
		q.assign(e, r)
		return
	}
	l := q.lookups[e.domain]
	if l == nil {
		l = &lookup{domain: e.domain}
		q.lookups[e.domain] = l
		q.asking = append(q.asking, l)
	}
	l.pending = append(l.pending, e)
	q.resolve()
}

// assign puts an entry into a job of its site. Under q.mu.
func (q *Queue) assign(e *entry, r *courier.Route) {
	s := q.sites[r.Site]
	if s == nil {
		s = &site{key: r.Site}
		q.sites[r.Site] = s
	}
	for _, j := range e.msg.jobs {
		if j.site == s && j.prepend == e.prepend && len(j.entries) < courier.MaxRcpts {
			j.entries = append(j.entries, e)
			e.job = j
			return
		}
	}
	j := &job{msg: e.msg, site: s, route: r, prepend: e.prepend, entries: []*entry{e}}
	e.job = j
	e.msg.jobs = append(e.msg.jobs, j)
	s.ready = append(s.ready, j)
	q.addLanes(s)
}

// add takes a message into the schedule; rows are its entries, numbered. A
// message that is there already stays as it is. Under q.mu.
func (q *Queue) add(m *message, keep bool, numbers []uint16, rows []*row) {
	if q.messages[m.id] != nil {
		return
	}
	q.messages[m.id] = m
	m.total, m.left = len(rows), len(rows)
	now := q.opt.Clock.Now()
	m.list = make([]*entry, len(rows))
	for i, r := range rows {
		e := &entry{
			msg: m, n: numbers[i], notified: r.notified, dropping: r.drop, attempts: r.attempts,
			next: r.next, domain: q.intern(r.rcpt.To), prepend: hashOf(r.rcpt.Prepend), index: -1,
		}
		if keep {
			e.row = r
		}
		m.list[i] = e
		switch {
		case r.state == Held:
			q.setState(e, Held)
		case r.next.After(now):
			q.wait(e, r.next)
		default:
			q.makeReady(e)
		}
	}
}

// remove takes an entry out of the schedule for good. Under q.mu.
func (q *Queue) remove(e *entry) {
	if e.state == "" {
		return
	}
	q.unwait(e)
	q.setState(e, "")
	e.row, e.job = nil, nil
	if e.msg.left--; e.msg.left == 0 {
		delete(q.messages, e.msg.id)
		q.letGo(e.msg)
	}
}

// letGo frees what is kept of a message while it is new. Under q.mu.
func (q *Queue) letGo(m *message) {
	if m.full != nil {
		m.full = nil
		q.kept--
	}
}

// intern is the canonical domain of an address, one string for all entries there.
func (q *Queue) intern(a smtp.Address) string {
	if s, ok := q.domains[a.Domain]; ok {
		return s
	}
	if len(q.domains) > 100_000 {
		clear(q.domains)
	}
	d := smtp.CanonicalDomain(a.Domain)
	if s, ok := q.domains[d]; ok {
		d = s
	}
	q.domains[d], q.domains[a.Domain] = d, d
	return d
}
