package queue

import "time"

// jitter is by how much an interval may be longer than planned, so that
// messages that failed together do not come back together.
const jitter = 0.2

// nextAttempt is when to try again after the attempts-th try failed at now
// (RFC 5321 section 4.5.4.1): the first interval is FirstRetry, every other
// twice the one before, up to MaxRetry, each longer by up to a fifth (random is
// in [0,1)). With the defaults that is about 35 tries in five days. A try is put
// at the moment when the delay notice is due (zero: never), and at the end, so that the
// sender is told in time and of the latest state. It is after expires only when
// that is less than FirstRetry away.
func (o *Options) nextAttempt(attempts int, notice, expires, now time.Time, random float64) time.Time {
	interval := o.FirstRetry
	for i := 1; i < attempts && interval < o.MaxRetry; i++ {
		interval *= 2
	}
	interval = min(interval, o.MaxRetry)
	interval += time.Duration(random * jitter * float64(interval))
	return later(byMarks(now.Add(interval), notice, expires, now), now.Add(o.FirstRetry))
}

// byMarks is a time, or the first mark that it would pass.
func byMarks(next, notice, expires, now time.Time) time.Time {
	for _, mark := range [...]time.Time{expires, notice} {
		if mark.After(now) && next.After(mark) {
			next = mark
		}
	}
	return next
}

// noticeAt is when the sender of a message that set off then is told that it takes
// long; zero is never.
func (o *Options) noticeAt(began time.Time) time.Time {
	if o.DelayNotice <= 0 {
		return time.Time{}
	}
	return began.Add(o.DelayNotice)
}
