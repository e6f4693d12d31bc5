package queue

import (
	"time"

	"posthouse/internal/courier"
)

// trouble is why nothing goes to a site, or why a domain's way is not found. It
// is met once, not by every message: until its time is up all wait, then one of
// them is tried, and the others only if that goes well. An entry that waits so
// is not written and has no attempt counted; when its sender is due to be told
// of the delay, or it expires, it is judged by the last words.
type trouble struct {
	fails   int // in a row; 0: there is none
	until   moment
	probing bool // one is being tried
	since   moment
	last    courier.Outcome
}

// Waits of a troubled site: the first, and the longest.
const (
	firstTrouble = time.Minute
	maxTrouble   = 30 * time.Minute
)

// troubleWait is for how long nothing is tried after so many failures in a row.
func troubleWait(fails int) time.Duration {
	return min(firstTrouble<<min(fails-1, 10), maxTrouble)
}

// happened notes another failure, that of an attempt that began then. Attempts
// that fail together are one failure.
func (t *trouble) happened(began, now moment, wait time.Duration, o *courier.Outcome) {
	t.last = courier.Outcome{Code: o.Code, Enhanced: o.Enhanced, Text: cut(o.Text, maxResult), Remote: o.Remote, Host: o.Host}
	if t.fails > 0 && began < t.since {
		return
	}
	if t.fails++; wait == 0 {
		wait = troubleWait(t.fails)
	}
	t.since, t.until = now, now.add(wait)
}

// blocked reports whether nothing goes to the site now. Under q.mu.
func (s *site) blocked(now moment) bool {
	return s.trouble.fails > 0 && (now < s.trouble.until || s.trouble.probing)
}
