package queue

import (
	"hash/fnv"
	"hash/maphash"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// A million recipients may wait. What is known of each is therefore small, has
// few pointers, and is made again from the store when it is tried.

// moment is a time as rows have it: nanoseconds since 1970, 0 for none.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m))
}

func (m moment) add(d time.Duration) moment { return m + moment(d) }

// message is what the schedule knows of a message.
type message struct {
	key     id.Packed
	null    bool // the reverse-path is the null one
	band    band
	source  uint16 // index of the source it leaves from
	total   uint32 // rows there were when it came into the schedule; 1: it goes with its only entry
	left    uint32 // entries in the schedule
	body    blob.Ref
	size    int64
	created moment
	expires moment
	notice  moment     // when the sender is told that it takes long; 0: never
	sender  uint64     // hash of the reverse-path
	holder  id.Account // whose held mail it counts as; 0: nobody's
	full    *Message   // at hand while it is new
	list    []entry
	latest  *entry // the last that went into a line: others of the message go beside it
}

func (m *message) id() id.ID { return m.key.ID() }

// States of an entry in memory; zero is out of the schedule.
const (
	sGone = iota
	sReady
	sWaiting
	sHeld
)

var stateNames = [...]State{sReady: Ready, sWaiting: Waiting, sHeld: Held}

// Flags of an entry in memory.
const (
	fBusy     = 1 << iota // being tried
	fNotified             // the sender was told of the delay
	fDropping             // an operator drops it
	fReminded             // the moment of its delay notice has been seen to
	fSender               // its sender holds it until its time (FUTURERELEASE)
	fAgain                // an operator wants another try after the one under way
)

// entry is what the schedule knows of one recipient, under Queue.mu.
type entry struct {
	msg        *message
	dest       *dest
	prev, next *entry // in its line
	line       *line  // where it waits; nil: nowhere
	due        moment // of its next regular attempt
	timer      int32  // place in the heap; -1: none
	prepend    uint32 // hash of Prepend: only equal ones share a transaction
	n          uint16
	attempts   uint16
	state      uint8
	flags      uint8
}

func (e *entry) id() string         { return entryID(e.msg.id(), e.n) }
func (e *entry) is(flag uint8) bool { return e.flags&flag != 0 }
func (e *entry) set(flag uint8, on bool) {
	if on {
		e.flags |= flag
	} else {
		e.flags &^= flag
	}
}

// line is entries that wait for one thing, first come first served.
type line struct {
	first, last *entry
	n           int
	ready       *ready // whose line it is; nil: it waits for a look-up
}

// push puts an entry last, or beside the one of the same message that came before it.
func (l *line) push(e *entry) {
	after := e.msg.latest
	if after == nil || after.line != l || after.prepend != e.prepend || after == e {
		after = l.last
	}
	l.insert(e, after)
	e.msg.latest = e
}

// insert puts e behind after; nil is the front.
func (l *line) insert(e, after *entry) {
	e.line, e.prev = l, after
	if after == nil {
		e.next, l.first = l.first, e
	} else {
		e.next, after.next = after.next, e
	}
	if e.next == nil {
		l.last = e
	} else {
		e.next.prev = e
	}
	l.n++
}

// leave takes an entry out of its line.
func (e *entry) leave() {
	l := e.line
	if l == nil {
		return
	}
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next, e.line = nil, nil, nil
	if l.n--; l.ready != nil {
		l.ready.n--
	}
	if e.msg.latest == e {
		e.msg.latest = nil
	}
}

// dest is a domain with mail in the queue, one for all entries there that go the
// same way.
type dest struct {
	name   string // canonical
	via    string // a URL: the way that an operator chose
	route  *courier.Route
	sure   moment  // until when the route need not be checked
	lookup *lookup // under way, or put off
	count  int     // entries
}

// job is recipients of one message at one site: one transaction.
type job struct {
	msg     *message
	ready   *ready // nil: there is no route
	route   *courier.Route
	entries []*entry
	rows    []*row // once they are at hand
	full    *Message
	began   moment
	probe   bool   // the one try that a troubled site gets
	regular moment // when it would have come, if somebody asked for it before its time
	stood   moment // when a probe would have come that somebody asked for; 0: nobody did
	untried bool   // it is only that its sender is due to be told
}

// firstDue is when the first of a job's entries is due. Under Queue.mu.
func (j *job) firstDue() moment {
	first := j.entries[0].due
	for _, e := range j.entries {
		first = min(first, e.due)
	}
	return first
}

// hash32 is a hash of header lines; only equal text has a chance to be sent
// together, see alike.
func hash32(s string) uint32 {
	if s == "" {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// senderHash is equal for the addresses of one mailbox. The seed is new in every
// process, so that nobody can choose addresses that look the same.
func (q *Queue) senderHash(a smtp.Address) uint64 {
	if a.IsZero() {
		return 0
	}
	return maphash.String(q.seed, a.Key())
}

// band is a class of urgency; lower ones go first, but never alone.
type band uint8

// The bands: MT-PRIORITY (RFC 6710) with people's and transactional mail at 0,
// bulk mail below it.
const (
	bandUrgent band = iota // 4 to 9
	bandHigh               // 1 to 3
	bandNormal
	bandLow  // -1 to -3, and bulk
	bandLast // -4 to -9, and bulk below 0
	bands
)

var bandNames = [bands]string{"urgent", "high", "normal", "low", "last"}

func bandOf(stream envelope.Stream, p int) band {
	if stream == envelope.Bulk {
		p -= 3
	}
	switch {
	case p >= 4:
		return bandUrgent
	case p > 0:
		return bandHigh
	case p == 0:
		return bandNormal
	case p >= -3:
		return bandLow
	}
	return bandLast
}
