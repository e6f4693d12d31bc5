package queue

import (
	"slices"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// setState moves an entry between the states and counts them. Under q.mu.
func (q *Queue) setState(e *entry, s uint8) {
	if e.state != sGone {
		q.depth[e.state]--
	}
	if s != sGone {
		q.depth[s]++
	}
	e.state = s
}

// wait puts an entry on the timer. Under q.mu.
func (q *Queue) wait(e *entry, due moment) {
	q.setState(e, sWaiting)
	e.due = due
	q.setTimer(e, due)
}

// park takes an entry out of the schedule's lines and off its timer. Under q.mu.
func (q *Queue) park(e *entry) {
	e.leave()
	q.timers.unset(e)
}

// makeReady puts an entry where the next free lane of its site will find it; the
// caller pumps. Under q.mu.
func (q *Queue) makeReady(e *entry) {
	q.park(e)
	q.setState(e, sReady)
	e.set(fSender, false)
	q.unhold(e.msg)
	if at := q.mark(e, q.now()); at != 0 {
		q.setTimer(e, at)
	}
	q.find(e)
}

// fresh is a message with its entries, not yet in the schedule.
type fresh struct {
	m       *message
	numbers []uint16
	rows    []*row
}

// add takes a message into the schedule. One that is there already stays as it
// is. Under q.mu.
func (q *Queue) add(f *fresh) {
	m := f.m
	if q.messages[m.key] != nil {
		return
	}
	q.messages[m.key] = m
	m.total, m.left = uint32(len(f.rows)), uint32(len(f.rows))
	now := q.now()
	m.list = make([]entry, len(f.rows))
	if slices.ContainsFunc(f.rows, func(r *row) bool { return r.heldBySender(now.time()) }) {
		q.hold(m)
	} else {
		m.holder = 0
	}
	for i, r := range f.rows {
		e := &m.list[i]
		*e = entry{
			msg: m, dest: q.destOf(q.intern(r.rcpt.To), r.via), due: momentOf(r.next), timer: -1, prepend: hash32(r.rcpt.Prepend),
			n: f.numbers[i], attempts: uint16(min(r.attempts, 1<<16-1)),
		}
		e.dest.count++
		e.set(fNotified, r.notified)
		e.set(fDropping, r.drop)
		e.set(fSender, r.heldBySender(now.time()))
		switch {
		case r.state == Held:
			q.setState(e, sHeld)
		case e.due > now && r.state != Ready:
			q.wait(e, e.due)
		default:
			q.makeReady(e)
		}
	}
}

// remove takes an entry out of the schedule for good. Under q.mu.
func (q *Queue) remove(e *entry) {
	if e.state == sGone {
		return
	}
	q.park(e)
	q.setState(e, sGone)
	e.dest.count--
	q.forgetDest(e.dest)
	if e.msg.left--; e.msg.left == 0 {
		delete(q.messages, e.msg.key)
		q.unhold(e.msg)
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

// messageOf is what the schedule keeps of a message.
func (q *Queue) messageOf(msg id.ID, h *head) (*message, bool) {
	key, ok := msg.Pack()
	return &message{
		key: key, source: q.sourceOf(key, h.from, h.stream), null: h.from.IsZero(), band: bandOf(h.stream, h.priority), body: h.body, size: h.size,
		created: momentOf(h.created), expires: momentOf(h.expires), notice: momentOf(q.noticeOf(h)), sender: q.senderHash(h.from), holder: h.holder,
	}, ok
}

// maxInterned bounds the spellings of domains that are remembered.
const maxInterned = 100_000

// intern is the canonical domain of an address. Under q.mu.
func (q *Queue) intern(a smtp.Address) string {
	if s, ok := q.domains[a.Domain]; ok {
		return s
	}
	if len(q.domains) > maxInterned {
		clear(q.domains)
	}
	d := smtp.CanonicalDomain(a.Domain)
	q.domains[a.Domain] = d
	return d
}

// now is the queue's time.
func (q *Queue) now() moment { return moment(q.opt.Clock.Now().UnixNano()) }

// pause stops attempts while the store does not take outcomes; resume goes on.
func (q *Queue) pause() {
	q.mu.Lock()
	q.paused = true
	q.mu.Unlock()
}

func (q *Queue) resume() {
	q.mu.Lock()
	q.paused = false
	q.kick()
	q.mu.Unlock()
}

// kick sets everything going that is ready. Under q.mu.
func (q *Queue) kick() {
	for _, s := range q.sites {
		for _, r := range s.queues {
			q.enrol(r)
		}
	}
	q.resolve()
	q.pump()
}

// sleep waits, on the queue's clock, for at most d; false when ctx ended first.
func (q *Queue) sleep(ended <-chan struct{}, d time.Duration) bool {
	timer := q.opt.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ended:
		return false
	}
}
