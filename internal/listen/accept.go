package listen

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"posthouse/internal/clock"
)

// Listeners are what a server accepts connections from, until it shuts down.
type Listeners struct {
	log    *slog.Logger
	door   string // for the log
	clock  clock.Clock
	closed chan struct{}

	mu  sync.Mutex
	set map[net.Listener]struct{}
}

// NewListeners is none yet; failures of a door's listeners go to log.
func NewListeners(log *slog.Logger, door string, c clock.Clock) *Listeners {
	return &Listeners{log: log, door: door, clock: c, closed: make(chan struct{}), set: make(map[net.Listener]struct{})}
}

// Accept calls start for every connection that l accepts, and waits for start
// to return. It ends with nil after Close, with an error when l was closed by
// somebody else; in both cases l is closed.
func (s *Listeners) Accept(l net.Listener, start func(net.Conn)) error {
	defer l.Close()
	if !s.add(l) {
		return nil
	}
	defer s.remove(l)
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			start(c)
			continue
		case s.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		// No file descriptors, or a client that was gone already: wait, go on.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		s.log.Warn("accept failed", "door", s.door, "err", err, "wait", wait)
		t := s.clock.NewTimer(wait)
		select {
		case <-t.C():
		case <-s.closed:
			t.Stop()
			return nil
		}
	}
}

// Close closes the listeners and ends every Accept. A second call does nothing.
func (s *Listeners) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return
	}
	close(s.closed)
	for l := range s.set {
		l.Close()
	}
}

func (s *Listeners) add(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return false
	}
	s.set[l] = struct{}{}
	return true
}

func (s *Listeners) remove(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, l)
}

func (s *Listeners) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
