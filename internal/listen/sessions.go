package listen

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Session is one client's, on a goroutine of its own. Any goroutine may call its
// methods.
type Session interface {
	// Interrupt ends the session's waiting for input, so that it sees that the
	// server shuts down.
	Interrupt()
	// Cut ends all that the session does, as far as it can be ended.
	Cut()
}

// stuckAfter is how long a session may go on after Cut. It cannot read or write
// any more; what it does now it does with a disk that does not answer.
const stuckAfter = 3 * time.Second

// Sessions are those of a server, until it shuts down. The zero value has none.
type Sessions struct {
	mu      sync.Mutex
	closing bool
	set     map[Session]struct{}
	waiting []chan struct{} // to be closed when set is empty
}

// Go calls run on a new goroutine and counts the session until it returns. closing
// says that Shutdown has begun: the client is to be turned away.
func (s *Sessions) Go(ses Session, run func(closing bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closing := s.closing
	if s.set == nil {
		s.set = make(map[Session]struct{})
	}
	s.set[ses] = struct{}{}
	go func() {
		defer s.remove(ses)
		run(closing)
	}()
}

func (s *Sessions) remove(ses Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.set, ses); len(s.set) == 0 {
		s.wake()
	}
}

// wake tells those who wait that nobody is left. The caller holds mu.
func (s *Sessions) wake() {
	for _, w := range s.waiting {
		close(w)
	}
	s.waiting = nil
}

// Len is how many sessions there are, those that are being turned away included.
func (s *Sessions) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.set)
}

// Shutdown interrupts the sessions and waits until all have ended. When ctx ends
// before, it cuts those that are left and answers ctx's error; or, when some go on
// for stuckAfter even so, an error that says so.
func (s *Sessions) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for ses := range s.set {
		ses.Interrupt()
	}
	empty := make(chan struct{})
	s.waiting = append(s.waiting, empty)
	if len(s.set) == 0 {
		s.wake()
	}
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ses := range s.set {
		ses.Cut()
	}
	s.mu.Unlock()
	t := time.NewTimer(stuckAfter)
	defer t.Stop()
	select {
	case <-empty:
		return ctx.Err()
	case <-t.C:
		return fmt.Errorf("%d sessions do not end", s.Len())
	}
}
