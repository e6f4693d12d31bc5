package nettest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Hurry is a connection to a peer that falls silent: once silent is closed and
// the peer has ended its half, who reads with a deadline finds that it has passed,
// and who has none waits for ever. So a test lets time run out behind all that was
// said, however long the time is and however slow the machine.
func Hurry(c net.Conn, silent <-chan struct{}) net.Conn {
	return &hurry{Conn: c, silent: silent, closed: make(chan struct{})}
}

type hurry struct {
	net.Conn
	silent <-chan struct{}
	once   sync.Once
	closed chan struct{}

	mu       sync.Mutex
	deadline bool // one is set
}

func (c *hurry) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != io.EOF {
		return n, err
	}
	select {
	case <-c.silent:
	default:
		return n, err
	}
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	if deadline {
		return n, os.ErrDeadlineExceeded
	}
	<-c.closed
	return n, net.ErrClosed
}

func (c *hurry) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = !t.IsZero()
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *hurry) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

func (c *hurry) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
