package listen

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"posthouse/internal/clock"
)

// gate is a Gate whose clients are given as text.
type gate struct {
	*Gate
	t *testing.T
}

func newGate(t *testing.T, limits GateLimits) (gate, *clock.Fake) {
	c := clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return gate{NewGate(limits, func(a netip.Addr) bool { return a.IsLoopback() }, c.Now), t}, c
}

func (g gate) enter(s string, want Verdict) func() {
	g.t.Helper()
	return g.pass(s, want).Leave
}

func (g gate) pass(s string, want Verdict) *Pass {
	g.t.Helper()
	pass, v := g.Enter(netip.MustParseAddr(s))
	if v != want {
		g.t.Errorf("%s: %v, want %v", s, v, want)
	}
	return pass
}

func TestGate(t *testing.T) {
	g, _ := newGate(t, GateLimits{Total: 3, PerAddress: 2})
	one := g.enter("2001:db8::1", Welcome)
	g.enter("2001:db8::2", Welcome)
	g.enter("2001:db8::3", TooManyFromYou)
	g.enter("192.0.2.1", Welcome)
	g.enter("192.0.2.2", TooMany)
	for range 5 {
		g.enter("127.0.0.1", Welcome)
	}
	one()
	one() // counts once
	g.enter("::ffff:192.0.2.1", Welcome)
	g.enter("192.0.2.2", TooMany)
}

func TestGateCrowded(t *testing.T) {
	g, _ := newGate(t, GateLimits{Total: 5})
	var leave func()
	for i := range 5 {
		if g.Crowded() != (i >= 4) {
			t.Errorf("with %d of 5: %v", i, g.Crowded())
		}
		leave = g.enter("192.0.2.1", Welcome)
	}
	leave()
	leave = g.enter("192.0.2.1", Welcome)
	leave()
	if g, _ := newGate(t, GateLimits{}); g.Crowded() {
		t.Error("crowded without a limit")
	}
}

func TestGatePerNetwork(t *testing.T) {
	g, _ := newGate(t, GateLimits{PerNetwork: 2})
	leave := g.enter("192.0.2.1", Welcome)
	g.enter("192.0.2.200", Welcome)
	g.enter("192.0.2.77", TooManyFromNetwork)
	g.enter("192.0.3.1", Welcome)
	g.enter("2001:db8:1:1::1", Welcome)
	g.enter("2001:db8:1:2::1", Welcome)
	g.enter("2001:db8:1:3::1", TooManyFromNetwork)
	g.enter("2001:db8:2::1", Welcome)
	leave()
	g.enter("192.0.2.77", Welcome)
}

func TestGateRates(t *testing.T) {
	g, now := newGate(t, GateLimits{AddressRate: 3, NetworkRate: 5})
	for range 3 {
		g.enter("192.0.2.1", Welcome)()
	}
	g.enter("192.0.2.1", TooOftenFromYou)
	g.enter("192.0.2.2", Welcome)()
	g.enter("192.0.2.3", Welcome)()
	g.enter("192.0.2.4", TooOftenFromNetwork)
	g.enter("192.0.3.1", Welcome)()
	// One more of the address is let in every 20 s, of the network every 12 s.
	now.Advance(12 * time.Second)
	g.enter("192.0.2.1", TooOftenFromYou)
	g.enter("192.0.2.4", Welcome)()
	g.enter("192.0.2.4", TooOftenFromNetwork)
	now.Advance(8 * time.Second)
	g.enter("192.0.2.1", TooOftenFromNetwork)
	now.Advance(4 * time.Second)
	g.enter("192.0.2.1", Welcome)()
	// A refusal costs nothing, and a minute's rest gives the whole minute back.
	now.Advance(time.Minute)
	for range 3 {
		g.enter("192.0.2.1", Welcome)()
	}
	g.enter("192.0.2.1", TooOftenFromYou)
}

// Who has logged in counts in all, but neither for the address nor the network.
func TestGateKnown(t *testing.T) {
	g, _ := newGate(t, GateLimits{Total: 5, PerAddress: 1, PerNetwork: 2})
	first := g.pass("192.0.2.1", Welcome)
	g.enter("192.0.2.1", TooManyFromYou)
	first.Known()
	first.Known() // once is enough
	second := g.pass("192.0.2.1", Welcome)
	g.enter("192.0.2.1", TooManyFromYou)
	g.enter("192.0.2.2", Welcome)
	g.enter("192.0.2.3", TooManyFromNetwork)
	second.Known()
	g.enter("192.0.2.3", Welcome)
	g.enter("192.0.3.1", Welcome)
	g.enter("192.0.3.2", TooMany)
	first.Leave()
	first.Leave()
	first.Known() // too late
	g.enter("192.0.3.2", Welcome)
	second.Leave()
	g.enter("192.0.2.1", TooManyFromNetwork)
	if n := g.count[netip.MustParsePrefix("192.0.2.1/32")]; n != 0 {
		t.Errorf("%d strangers at an address that has none", n)
	}
	trusted := g.pass("127.0.0.1", Welcome)
	trusted.Known()
	trusted.Leave()
}

// Who parts is counted out at once, and leaves later; but those who are on their
// way out are not without number.
func TestGatePart(t *testing.T) {
	g, _ := newGate(t, GateLimits{Total: MaxParting + 1, PerAddress: 1})
	var parted []*Pass
	for range MaxParting {
		p := g.pass("192.0.2.1", Welcome)
		g.enter("192.0.2.1", TooManyFromYou)
		p.Part()
		p.Part() // once is enough
		parted = append(parted, p)
	}
	last := g.pass("192.0.2.1", Welcome)
	last.Part()
	g.enter("192.0.2.1", TooManyFromYou) // it keeps its place until it leaves
	last.Leave()
	next := g.pass("192.0.2.1", Welcome)
	parted[0].Leave()
	parted[0].Leave() // once is enough
	parted[0].Part()  // too late
	next.Part()
	known := g.pass("192.0.2.1", Welcome)
	known.Known()
	known.Leave()
	for _, p := range append(parted, next) {
		p.Leave()
	}
	if g.open != 0 || g.parting != 0 || len(g.count) != 0 {
		t.Errorf("%d are in, %d are parting, counted %v", g.open, g.parting, g.count)
	}
	trusted := g.pass("127.0.0.1", Welcome)
	trusted.Part()
	trusted.Leave()
}

// However often people log in from an address, strangers there have the same
// pace.
func TestGateKnownRates(t *testing.T) {
	g, _ := newGate(t, GateLimits{AddressRate: 3, NetworkRate: 5})
	for range 100 {
		p := g.pass("192.0.2.1", Welcome)
		p.Known()
		p.Leave()
	}
	for range 3 {
		g.enter("192.0.2.1", Welcome)()
	}
	g.enter("192.0.2.1", TooOftenFromYou)
	g.enter("192.0.2.2", Welcome)()
	g.enter("192.0.2.2", Welcome)()
	g.enter("192.0.2.3", TooOftenFromNetwork)
}

// A few clients at a time hear why they are turned away.
func TestExplain(t *testing.T) {
	g, _ := newGate(t, GateLimits{})
	var done func()
	for range MaxExplained {
		var ok bool
		if done, ok = g.Explain(); !ok {
			t.Fatal("no slot")
		}
	}
	if _, ok := g.Explain(); ok {
		t.Error("a slot too many")
	}
	done()
	if _, ok := g.Explain(); !ok {
		t.Error("a slot was lost")
	}
	for v := TooMany; v <= ShuttingDown; v++ {
		if v.Reason() == "" || v.Text() == "" {
			t.Errorf("verdict %d has no words", v)
		}
	}
}

// However many networks come, memory is bounded, and those who just came are
// remembered while there is room.
func TestPaceForgets(t *testing.T) {
	p := newPace(1)
	now := time.Unix(1e9, 0)
	prefix := func(i int) netip.Prefix {
		return netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	for i := range maxPaced {
		p.count(prefix(i), now)
	}
	now = now.Add(2 * time.Minute)
	p.count(prefix(maxPaced), now)
	if len(p.due) != 1 || p.fits(prefix(maxPaced), now) {
		t.Errorf("%d remembered", len(p.due))
	}
	for i := range 3 * maxPaced {
		p.count(prefix(i), now)
		if len(p.due) > maxPaced {
			t.Fatalf("%d remembered", len(p.due))
		}
	}
}
