package directory

import (
	"math"
	"sync"
	"time"
)

// Rules of the slow-down. A failed login counts one; one is forgiven every
// forgiveEvery. Beyond freeFailures every answer waits, twice as long for each
// further failure; at the limit it is refused. The limit of an account is high,
// because strangers can reach it for somebody else.
const (
	forgiveEvery = 30 * time.Second
	freeFailures = 4
	firstDelay   = 500 * time.Millisecond
	longestDelay = 8 * time.Second
	addressLimit = 20
	accountLimit = 100
	maxThrottled = 1 << 16
)

// throttle counts failures by key. Safe for concurrent use.
type throttle[K comparable] struct {
	limit float64
	mu    sync.Mutex
	count map[K]failures
}

type failures struct {
	n  float64
	at time.Time
}

func newThrottle[K comparable](limit float64) *throttle[K] {
	return &throttle[K]{limit: limit, count: make(map[K]failures)}
}

// now is the count with what was forgiven since.
func (f failures) now(now time.Time) float64 {
	return max(0, f.n-max(0, now.Sub(f.at).Seconds())/forgiveEvery.Seconds())
}

// look gives the wait before the next answer, or refuses it.
func (t *throttle[K]) look(k K, now time.Time) (wait time.Duration, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.count[k]
	if !ok {
		return 0, false
	}
	n := f.now(now)
	switch {
	case n == 0:
		delete(t.count, k)
		return 0, false
	case n > t.limit-1:
		return 0, true
	case n < freeFailures-0.5: // a little is forgiven between any two
		return 0, false
	}
	steps := math.Floor(n - freeFailures + 0.5)
	return min(longestDelay, time.Duration(float64(firstDelay)*math.Exp2(min(steps, 10)))), false
}

// failed counts a failure.
func (t *throttle[K]) failed(k K, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.count[k]
	if !ok && len(t.count) >= maxThrottled {
		t.makeRoom(now)
	}
	t.count[k] = failures{min(t.limit, f.now(now)+1), now}
}

// makeRoom drops who is forgiven, and if that is little the least guilty.
func (t *throttle[K]) makeRoom(now time.Time) {
	for least := 0.0; len(t.count) > maxThrottled*7/8; least++ {
		for k, f := range t.count {
			if f.now(now) <= least {
				delete(t.count, k)
			}
			if len(t.count) <= maxThrottled*7/8 {
				return
			}
		}
	}
}
