package courier

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/shaping"
)

// callers is a listener's memory of who called.
type callers struct {
	net.Listener
	mu   sync.Mutex
	from []string
}

func (l *callers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		l.mu.Lock()
		l.from = append(l.from, host)
		l.mu.Unlock()
	}
	return c, err
}

// A source calls from its address, by its name, over connections of its own.
func TestSources(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0")
	seen := &callers{Listener: p.ln}
	p.ln = seen
	p.start()
	c := newCourier(t, p, func(o *Options) {
		o.Sources = []Source{
			{Name: "two", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.2")}, HELO: "two.example.test"},
			{Name: "six", Addrs: []netip.Addr{netip.MustParseAddr("::1")}},
			{Name: "away", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.77")}},
		}
	})
	to := func(source string) []Outcome {
		return transfer(t, c, &Transfer{Source: source, Rcpts: rcpts("a@example.net")}, hello)
	}
	for _, source := range []string{"two", "", "two", ""} {
		wantCodes(t, to(source), 250)
	}
	seen.mu.Lock()
	from := slices.Sorted(slices.Values(seen.from))
	seen.mu.Unlock()
	if !slices.Equal(from, []string{"127.0.0.1", "127.0.0.2"}) {
		t.Errorf("called from %q", from)
	}
	if !strings.Contains(p.commands(), "EHLO two.example.test") || !strings.Contains(p.commands(), "EHLO us.example.test") {
		t.Errorf("said %q", p.commands())
	}
	for _, source := range []string{"six", "away"} {
		outs := to(source)
		wantCodes(t, outs, 451)
		t.Log(outs[0].Text)
	}
	// The host is not to blame for the addresses that others lack.
	wantCodes(t, to(""), 250)
	if c.dead.has(p.addr()) {
		t.Error("the host is taken for dead")
	}
}

// Connections to different sites count together under one cap, the idle ones too.
func TestCapsAcrossSites(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0").start()
	c := newCourier(t, p, func(o *Options) {
		r := &fakeDNS{mx: map[string][]dns.MX{}, ip: map[string][]netip.Addr{}}
		for i := range 3 {
			r.mx[fmt.Sprintf("d%d.net", i)] = []dns.MX{{Host: fmt.Sprintf("mx%d.net", i)}}
			r.ip[fmt.Sprintf("mx%d.net", i)] = []netip.Addr{p.addr().Addr()}
		}
		o.Resolver, o.Idle = r, time.Minute
	})
	caps := []Cap{{Key: "k", Open: 2}}
	most := 0
	for i := range 9 {
		wantCodes(t, transfer(t, c, &Transfer{Caps: caps, Rcpts: rcpts(fmt.Sprintf("a@d%d.net", i%3))}, hello), 250)
		c.pool.mu.Lock()
		most = max(most, c.pool.groups["k"].open)
		c.pool.mu.Unlock()
	}
	if most != 2 {
		t.Errorf("%d connections are open", most)
	}
	// Over one connection go no more messages than allowed.
	before := p.connections()
	for range 4 {
		wantCodes(t, transfer(t, c, &Transfer{MaxPerConn: 1, Rcpts: rcpts("a@d0.net")}, hello), 250)
	}
	if n := p.connections() - before; n < 3 {
		t.Errorf("%d connections for 4 messages", n)
	}
}

func TestConnectionRate(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0").start()
	c := newCourier(t, p, func(o *Options) { o.Idle = -1 })
	caps := []Cap{{Key: "k", Rate: shaping.Rate{Count: 20, Per: time.Second}}}
	began := time.Now()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			wantCodes(t, transfer(t, c, &Transfer{Caps: caps, Rcpts: rcpts("a@example.net")}, hello), 250)
		})
	}
	all.Wait()
	if d := time.Since(began); d < 200*time.Millisecond {
		t.Errorf("5 connections at 20/s took %v", d)
	}
}
