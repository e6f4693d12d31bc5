package queue

import "posthouse/internal/id"

// What each account has held until a time, for its quota (RFC 4865 section 6). A
// message counts from when it is taken in until its time comes, or until its last
// recipient is gone.

// HeldFor is Enqueuer's.
func (q *Queue) HeldFor(a id.Account) Holds {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.holds[a]
}

// hold counts a message that has a holder. Under q.mu.
func (q *Queue) hold(m *message) { q.countHold(m, 1) }

// unhold counts it no more. Under q.mu.
func (q *Queue) unhold(m *message) {
	q.countHold(m, -1)
	m.holder = 0
}

func (q *Queue) countHold(m *message, n int) {
	if m.holder == 0 {
		return
	}
	h := q.holds[m.holder]
	h.Messages += n
	h.Octets += int64(n) * m.size
	if h.Messages == 0 {
		delete(q.holds, m.holder)
		return
	}
	q.holds[m.holder] = h
}
