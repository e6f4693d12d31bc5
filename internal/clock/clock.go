// Package clock is the time that the rest of the house lives by: the system's
// in service, a hand-driven one in tests.
package clock

import "time"

// Clock tells the time and wakes callers. Implementations are safe for
// concurrent use.
type Clock interface {
	Now() time.Time
	// NewTimer fires once, d from now; d <= 0 fires at once.
	NewTimer(d time.Duration) Timer
}

// Timer is a single wake-up.
type Timer interface {
	C() <-chan time.Time
	// Stop prevents the timer from firing; it reports whether it did.
	Stop() bool
}

// System is the machine's clock.
type System struct{}

// Now is the machine's current time.
func (System) Now() time.Time { return time.Now() }

// NewTimer is time.NewTimer behind the interface.
func (System) NewTimer(d time.Duration) Timer { return systemTimer{time.NewTimer(d)} }

type systemTimer struct{ t *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.t.C }
func (t systemTimer) Stop() bool          { return t.t.Stop() }
