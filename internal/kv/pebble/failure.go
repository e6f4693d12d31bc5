package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"posthouse/internal/kv"
)

// failure remembers the first error after which the store's state on disk is
// unknown. There is no way back from it but to open the store again.
type failure struct {
	once   sync.Once
	cause  atomic.Pointer[error]
	failed chan struct{} // closed once cause is set

	wedgeOnce sync.Once
	wedged    chan struct{} // closed when Pebble's own locks may be held for ever
}

func newFailure() *failure {
	return &failure{failed: make(chan struct{}), wedged: make(chan struct{})}
}

// fail records cause unless an earlier one stands.
func (f *failure) fail(cause error) {
	f.once.Do(func() {
		if !errors.Is(cause, kv.ErrFailed) {
			cause = fmt.Errorf("%w: %w", kv.ErrFailed, cause)
		}
		f.cause.Store(&cause)
		close(f.failed)
	})
}

// wedge records that Pebble must not be called again, not even to close it.
func (f *failure) wedge(cause error) {
	f.fail(cause)
	f.wedgeOnce.Do(func() { close(f.wedged) })
}

// err is nil, or the first failure wrapped in kv.ErrFailed.
func (f *failure) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}
