package listen

import (
	"net"
	"net/netip"
	"sync"
)

// Remote is the IP address of a peer; the zero Addr for a Unix socket.
func Remote(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Verdict is what a Gate says to a client.
type Verdict int

// The verdicts.
const (
	Welcome        Verdict = iota
	TooMany                // connections in all
	TooManyFromYou         // connections from this address
)

// Gate counts connections in all and per address; an IPv6 client counts by its
// /64. Safe for concurrent use.
type Gate struct {
	total, perAddress int
	trusted           func(netip.Addr) bool

	mu    sync.Mutex
	open  int
	count map[netip.Prefix]int
}

// NewGate makes a gate; a limit of 0 is none. Clients that trusted (which may be
// nil) knows are always welcome, and so are those without an address.
func NewGate(total, perAddress int, trusted func(netip.Addr) bool) *Gate {
	if trusted == nil {
		trusted = func(netip.Addr) bool { return false }
	}
	return &Gate{total: total, perAddress: perAddress, trusted: trusted, count: make(map[netip.Prefix]int)}
}

// Enter counts a client in. For Welcome the caller must call leave once, when
// the connection is over; otherwise it says so in its protocol's words and
// closes, and leave is nil.
func (g *Gate) Enter(a netip.Addr) (leave func(), v Verdict) {
	if !a.IsValid() || g.trusted(a) {
		return func() {}, Welcome
	}
	network := Household(a)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.total > 0 && g.open >= g.total:
		return nil, TooMany
	case g.perAddress > 0 && g.count[network] >= g.perAddress:
		return nil, TooManyFromYou
	}
	g.open++
	g.count[network]++
	var once sync.Once
	return func() { once.Do(func() { g.leave(network) }) }, Welcome
}

func (g *Gate) leave(network netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.count[network]--; g.count[network] <= 0 {
		delete(g.count, network)
	}
}

// Household is what counts as one client: an IPv4 address, or an IPv6 /64.
func Household(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
