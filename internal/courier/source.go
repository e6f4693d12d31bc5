package courier

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"posthouse/internal/shaping"
)

// Source is an address that mail leaves from.
type Source struct {
	Name string
	// Addrs are ours, at most one of each family; hosts of a family that is not
	// there are not called. None: the system chooses.
	Addrs []netip.Addr
	HELO  string // said in EHLO; "" is Options.Hostname
}

// Cap is a limit on connections that Transfers share, whatever their sites.
type Cap struct {
	Key  string       // equal for those that share it
	Open int          // connections, idle ones included; 0: no limit
	Rate shaping.Rate // of connections begun
}

// source finds a source by name; an unknown one is the system's choice.
func (c *Courier) source(name string) *Source {
	for i := range c.opt.Sources {
		if c.opt.Sources[i].Name == name {
			return &c.opt.Sources[i]
		}
	}
	return &Source{}
}

// local is the address from which a source calls another; false: it cannot.
func (s *Source) local(to netip.Addr) (netip.Addr, bool) {
	for _, a := range s.Addrs {
		if a.Unmap().Is4() == to.Unmap().Is4() {
			return a.Unmap(), true
		}
	}
	return netip.Addr{}, len(s.Addrs) == 0
}

// dial calls from a source's address. Only dialers of the standard library can
// be told to.
func (c *Courier) dial(ctx context.Context, s *Source, to netip.AddrPort) (net.Conn, error) {
	dialer := c.opt.Dialer
	if local, _ := s.local(to.Addr()); local.IsValid() {
		if plain, ok := dialer.(*net.Dialer); ok {
			bound := *plain
			bound.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
			dialer = &bound
		}
	}
	return dialer.DialContext(ctx, "tcp", to.String())
}

// notOurs reports whether a call failed because the source's address is none of
// this machine: the host is not to blame.
func notOurs(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }

// helo is the name that a source goes by.
func (c *Courier) helo(s *Source) string {
	if s.HELO != "" {
		return s.HELO
	}
	return c.opt.Hostname
}
