package courier

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
)

func TestConnectionClosedWhileIdle(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p)
	wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	p.mu.Lock()
	for conn := range p.live {
		conn.Close()
	}
	p.mu.Unlock()
	wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	if len(p.received()) != 2 || p.connections() != 2 {
		t.Errorf("%d messages over %d connections", len(p.received()), p.connections())
	}
}

func TestLimitPerSite(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	arrived, goOn := make(chan bool, 100), make(chan bool)
	p.rcpt = func(string) string { arrived <- true; <-goOn; return "250 ok" }
	p.start()
	c := newCourier(t, p, func(o *Options) { o.PerSite = 3 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { wantCodes(t, send(t, c, hello, "a@example.net"), 250) })
	}
	for range 3 {
		<-arrived
	}
	close(goOn)
	wg.Wait()
	if n := p.connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
	if len(p.received()) != 10 {
		t.Errorf("%d messages", len(p.received()))
	}
}

func TestTotalLimitEvictsTheIdle(t *testing.T) {
	p, q := newPeers(t, "PIPELINING")
	p.start()
	q.start()
	c := newCourier(t, p, func(o *Options) {
		o.Total = 1
		o.Resolver = &fakeDNS{ip: map[string][]netip.Addr{"one.net": {p.addr().Addr()}, "two.net": {q.addr().Addr()}}}
	})
	for range 3 {
		wantCodes(t, send(t, c, hello, "a@one.net"), 250)
		wantCodes(t, send(t, c, hello, "a@two.net"), 250)
	}
	if p.connections() != 3 || q.connections() != 3 {
		t.Errorf("%d and %d connections", p.connections(), q.connections())
	}
}

// A server that takes one connection never sees two: the next begins when the last
// has ended.
func TestOneAfterAnother(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p, func(o *Options) { o.PerSite, o.MaxPerConn = 1, 1 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { wantCodes(t, send(t, c, hello, "a@example.net"), 250) })
	}
	wg.Wait()
	open := 0
	for line := range strings.Lines(p.commands()) {
		switch strings.Fields(line)[0] {
		case "EHLO":
			open++
		case "QUIT":
			open--
		}
		if open > 1 {
			t.Fatalf("two at once:\n%s", p.commands())
		}
	}
}

func TestMaxPerConn(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p, func(o *Options) { o.MaxPerConn = 2 })
	for range 5 {
		wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	}
	if p.connections() != 3 {
		t.Errorf("%d connections", p.connections())
	}
}
