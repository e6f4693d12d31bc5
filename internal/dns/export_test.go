package dns

import (
	"context"
	"net"
)

// SetDial makes the connections to servers by fn.
func (c *Client) SetDial(fn func(ctx context.Context, network, addr string) (net.Conn, error)) {
	c.dial = fn
}

// Waiting is how many lookups wait for the answer to one question.
func (c *Client) Waiting(name string, qtype uint16) int {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	if f := c.cache.flights[question{name, qtype}]; f != nil {
		return f.waiters
	}
	return 0
}
