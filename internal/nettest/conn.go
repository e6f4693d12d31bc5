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

// Stall is a connection whose writes, after n bytes, hang until it is closed or
// the write deadline passes.
func Stall(c net.Conn, n int) net.Conn {
	return &stall{Conn: c, left: n, closed: make(chan struct{}), moved: make(chan struct{})}
}

type stall struct {
	net.Conn
	writing sync.Mutex
	left    int // under writing

	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{} // closed and renewed when the deadline changes
	once     sync.Once
	closed   chan struct{}
}

func (c *stall) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err != nil || n == len(p) {
		return n, err
	}
	return n, c.hang()
}

// hang returns when the connection is closed or the deadline passes.
func (c *stall) hang() error {
	for {
		c.mu.Lock()
		deadline, moved := c.deadline, c.moved
		c.mu.Unlock()
		var passed <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			passed = t.C
		}
		select {
		case <-c.closed:
			return net.ErrClosed
		case <-passed:
			return os.ErrDeadlineExceeded
		case <-moved:
		}
	}
}

func (c *stall) SetDeadline(t time.Time) error {
	c.setDeadline(t)
	return c.Conn.SetDeadline(t)
}

func (c *stall) SetWriteDeadline(t time.Time) error {
	c.setDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *stall) setDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.moved)
	c.moved = make(chan struct{})
}

func (c *stall) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
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
