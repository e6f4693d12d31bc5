package listen

import (
	"net"
	"net/netip"
	"sync"
	"time"
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

// GateLimits bound the connections of strangers; 0 is no bound. An address is a
// Household, a network a Neighbourhood.
type GateLimits struct {
	Total      int // open at a time
	PerAddress int
	PerNetwork int
	// AddressRate and NetworkRate are how many may begin in a minute.
	AddressRate int
	NetworkRate int
}

// Gate counts connections in all, per address and per network. Safe for
// concurrent use, and bounded in memory by the limits.
type Gate struct {
	now        func() time.Time
	explaining chan struct{} // slots; see Explain

	mu          sync.Mutex
	limits      GateLimits
	trusted     func(netip.Addr) bool
	addressPace *pace
	networkPace *pace

	told    map[Verdict]time.Time // when each was last in the log
	untold  map[Verdict]int       // how often since
	open    int
	parting int                  // see Part
	count   map[netip.Prefix]int // of addresses and networks, whose lengths differ
}

// NewGate makes a gate that tells the time by now. Clients that trusted (which
// may be nil) knows are always welcome, and so are those without an address.
func NewGate(limits GateLimits, trusted func(netip.Addr) bool, now func() time.Time) *Gate {
	g := &Gate{
		now: now, count: make(map[netip.Prefix]int),
		explaining: make(chan struct{}, MaxExplained), told: make(map[Verdict]time.Time), untold: make(map[Verdict]int),
	}
	g.SetLimits(limits, trusted)
	return g
}

// SetLimits is NewGate's for clients that come from now on. Nobody who is in has to
// leave.
func (g *Gate) SetLimits(limits GateLimits, trusted func(netip.Addr) bool) {
	if trusted == nil {
		trusted = func(netip.Addr) bool { return false }
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if limits.AddressRate != g.limits.AddressRate {
		g.addressPace = newPace(limits.AddressRate)
	}
	if limits.NetworkRate != g.limits.NetworkRate {
		g.networkPace = newPace(limits.NetworkRate)
	}
	g.limits, g.trusted = limits, trusted
}

// Pass is the place of one client that was let in.
type Pass struct {
	gate                 *Gate
	address, network     netip.Prefix
	known, left, parting bool // guarded by the gate's mu
}

// Enter counts a client in. For Welcome there is a pass, and the caller must call
// its Leave before it closes the connection and tells anybody; otherwise it says
// so in its protocol's words and closes.
func (g *Gate) Enter(a netip.Addr) (*Pass, Verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.IsValid() || g.trusted(a) {
		return nil, Welcome
	}
	address, network := Household(a), Neighbourhood(a)
	now := g.now()
	switch {
	case over(g.open, g.limits.Total):
		return nil, TooMany
	case over(g.count[address], g.limits.PerAddress):
		return nil, TooManyFromYou
	case over(g.count[network], g.limits.PerNetwork):
		return nil, TooManyFromNetwork
	case !g.addressPace.fits(address, now):
		return nil, TooOftenFromYou
	case !g.networkPace.fits(network, now):
		return nil, TooOftenFromNetwork
	}
	g.addressPace.count(address, now)
	g.networkPace.count(network, now)
	g.open++
	g.count[address]++
	g.count[network]++
	return &Pass{gate: g, address: address, network: network}, Welcome
}

// Known says that the client has shown who it is. From then on it counts only in
// all, and its connection is none of those that its address and network began: an
// office with one address has many people, and each is bound as an account. The
// pass of a client that is not counted is nil, and that will do.
func (p *Pass) Known() {
	if p == nil {
		return
	}
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.known || p.left {
		return
	}
	p.known = true
	g.forget(p)
	g.addressPace.giveBack(p.address)
	g.networkPace.giveBack(p.network)
}

// MaxParting is how many clients at a time are counted out before they have heard
// the last words.
const MaxParting = 256

// Part counts the client out before it hears the last words, so that it finds its
// place free when it comes again at once. Leave is still to be called. As a client
// may take its time over the last words, above MaxParting those who part keep
// their places until they leave.
func (p *Pass) Part() {
	if p == nil {
		return
	}
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.left || g.parting >= MaxParting {
		return
	}
	p.parting = true
	g.parting++
	g.countOut(p)
}

// Leave counts the client out; only the first call does anything.
func (p *Pass) Leave() {
	if p == nil {
		return
	}
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.parting {
		p.parting = false
		g.parting--
	}
	g.countOut(p)
}

// countOut gives a place back, once.
func (g *Gate) countOut(p *Pass) {
	if p.left {
		return
	}
	p.left = true
	g.open--
	if !p.known {
		g.forget(p)
	}
}

// forget counts a client out of its address and network.
func (g *Gate) forget(p *Pass) {
	for _, n := range []netip.Prefix{p.address, p.network} {
		if g.count[n]--; g.count[n] <= 0 {
			delete(g.count, n)
		}
	}
}

// Crowded reports whether four fifths of the places for strangers are taken.
func (g *Gate) Crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limits.Total > 0 && g.open*5 >= g.limits.Total*4
}

func over(count, limit int) bool { return limit > 0 && count >= limit }

// Household is what counts as one client: an IPv4 address, or an IPv6 /64.
func Household(a netip.Addr) netip.Prefix { return cut(a, 32, 64) }

// Neighbourhood is what one provider's customer, or one firm's outgoing hosts,
// are likely to share: an IPv4 /24, or an IPv6 /48.
func Neighbourhood(a netip.Addr) netip.Prefix { return cut(a, 24, 48) }

func cut(a netip.Addr, v4, v6 int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := v4
	if a.Is6() {
		bits = v6
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
