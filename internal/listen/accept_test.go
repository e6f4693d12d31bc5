package listen

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/clock"
)

// failing fails so many times, then gives one connection, then waits for Close.
type failing struct {
	net.Listener
	failures int
	given    bool
	closed   chan struct{}
}

func (f *failing) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	if !f.given {
		f.given = true
		c, _ := net.Pipe()
		return c, nil
	}
	<-f.closed
	return nil, net.ErrClosed
}

func (f *failing) Close() error {
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

// A listener that is out of file descriptors is asked again, less and less
// often, and gives its connections afterwards; Close ends it.
func TestAcceptGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewListeners(slog.New(slog.DiscardHandler), "test", clock.System{})
		started, done := make(chan time.Time, 1), make(chan error, 1)
		begin := time.Now()
		go func() {
			done <- s.Accept(&failing{failures: 3, closed: make(chan struct{})}, func(c net.Conn) {
				c.Close()
				started <- time.Now()
			})
		}()
		if waited := (<-started).Sub(begin); waited != 35*time.Millisecond {
			t.Errorf("accepted after %v, want 5+10+20 ms", waited)
		}
		s.Close()
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
		late := &failing{closed: make(chan struct{})}
		if err := s.Accept(late, func(net.Conn) { t.Error("accepted after Close") }); err != nil || !late.isClosed() {
			t.Errorf("a late listener: %v, closed %v", err, late.isClosed())
		}
	})
}

func (f *failing) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// Close does not wait for a pause to be over; and a listener that somebody else
// closed is an error.
func TestAcceptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewListeners(slog.New(slog.DiscardHandler), "test", clock.System{})
		done := make(chan error, 1)
		go func() { done <- s.Accept(&failing{failures: 1 << 30, closed: make(chan struct{})}, func(net.Conn) {}) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		at := time.Now()
		s.Close()
		if err := <-done; err != nil || !time.Now().Equal(at) {
			t.Errorf("ended with %v, %v after Close", err, time.Since(at))
		}
		gone := &failing{given: true, closed: make(chan struct{})}
		gone.Close()
		if err := NewListeners(slog.New(slog.DiscardHandler), "test", clock.System{}).Accept(gone, func(net.Conn) {}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed by another: %v", err)
		}
	})
}
