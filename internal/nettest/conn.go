package nettest

import (
	"net"
	"os"
	"sync"
	"time"
)

// HangUp is a connection that ends after n bytes have been written to it: the
// write that reaches the limit sends what fits, closes, and fails.
func HangUp(c net.Conn, n int) net.Conn { return &hangUp{Conn: c, left: n} }

type hangUp struct {
	net.Conn
	mu   sync.Mutex
	left int
}

func (c *hangUp) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) < c.left {
		n, err := c.Conn.Write(p)
		c.left -= n
		return n, err
	}
	n, err := c.Conn.Write(p[:c.left])
	c.left -= n
	if err == nil && c.left == 0 {
		_ = c.Conn.Close()
		err = net.ErrClosed
	}
	return n, err
}

// Stall is a connection to a peer that takes n bytes and is dead from then on:
// whatever deadline who reads or writes has set has passed, and who has set none
// waits until the connection is closed.
func Stall(c net.Conn, n int) net.Conn { return &stall{Conn: c, left: n, changed: make(chan struct{})} }

type stall struct {
	net.Conn
	writing sync.Mutex

	mu          sync.Mutex
	left        int
	read, write bool          // deadlines are set
	closed      bool          //
	changed     chan struct{} // closed and renewed when one of these is
}

func (c *stall) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n := c.take(len(p))
	n, err := c.Conn.Write(p[:n])
	if err != nil || n == len(p) {
		return n, err
	}
	return n, c.hang(&c.write)
}

// take is how many of n bytes the peer still takes.
func (c *stall) take(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, c.left)
	c.left -= n
	return n
}

func (c *stall) Read(p []byte) (int, error) {
	c.mu.Lock()
	dead := c.left == 0
	c.mu.Unlock()
	if !dead {
		return c.Conn.Read(p)
	}
	return 0, c.hang(&c.read)
}

// hang returns when the connection is closed or the deadline is set.
func (c *stall) hang(deadline *bool) error {
	for {
		c.mu.Lock()
		passed, closed, changed := *deadline, c.closed, c.changed
		c.mu.Unlock()
		switch {
		case closed:
			return net.ErrClosed
		case passed:
			return os.ErrDeadlineExceeded
		}
		<-changed
	}
}

func (c *stall) SetDeadline(t time.Time) error {
	c.change(func() { c.read, c.write = !t.IsZero(), !t.IsZero() })
	return c.Conn.SetDeadline(t)
}

func (c *stall) SetReadDeadline(t time.Time) error {
	c.change(func() { c.read = !t.IsZero() })
	return c.Conn.SetReadDeadline(t)
}

func (c *stall) SetWriteDeadline(t time.Time) error {
	c.change(func() { c.write = !t.IsZero() })
	return c.Conn.SetWriteDeadline(t)
}

func (c *stall) Close() error {
	c.change(func() { c.closed = true })
	return c.Conn.Close()
}

func (c *stall) change(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Trickle is a connection that writes and reads one byte at a time.
func Trickle(c net.Conn) net.Conn { return trickle{c} }

type trickle struct{ net.Conn }

func (c trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (c trickle) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(len(p), 1)]) }
