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
	stood   moment // until, before somebody asked for a try; 0: nobody did
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

// lift has one tried at once.
func (t *trouble) lift(now moment) {
	t.stood, t.until = max(t.stood, t.until), now
}

// happened notes another failure, that of an attempt that began then. Attempts
// that fail together are one failure. One that somebody asked for, before its
// regular time, makes the waits no longer.
func (t *trouble) happened(began, now, regular moment, wait time.Duration, o *courier.Outcome) {
	t.last = courier.Outcome{Code: o.Code, Enhanced: o.Enhanced, Text: cut(o.Text, maxResult), Remote: o.Remote, Host: o.Host}
	if t.fails > 0 && began < t.since {
		return
	}
	stood := t.stood
	t.since, t.stood = now, 0
	switch {
	case wait > 0:
		t.fails++
		t.until = now.add(wait)
	case t.fails > 0 && stood > now:
		t.until = stood
	case t.fails > 0 && regular > now:
		t.until = min(regular, now.add(troubleWait(t.fails)))
	default:
		t.fails++
		t.until = now.add(troubleWait(t.fails))
	}
}

// blocked reports whether nothing goes to the site now. Under q.mu.
func (s *site) blocked(now moment) bool {
	return s.trouble.fails > 0 && (now < s.trouble.until || s.trouble.probing)
}
