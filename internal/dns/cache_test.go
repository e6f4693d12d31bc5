package dns_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

func TestCache(t *testing.T) {
	d := nettest.NewDNS(records())
	now := clock.NewFake(time.Unix(1e9, 0))
	addr, queries := counting(t, d, nil)
	c := newClient(t, dns.Options{Servers: []string{addr}, Clock: now, CacheEntries: 3})
	asked := func(name string, want int64) dns.Answer {
		t.Helper()
		before := queries.Load()
		_, ans, _ := c.LookupTXT(t.Context(), name)
		if n := queries.Load() - before; n != want {
			t.Errorf("%s: %d queries, want %d", name, n, want)
		}
		return ans
	}
	asked("example.org", 1)
	now.Advance(40 * time.Second)
	if ans := asked("EXAMPLE.org.", 0); ans.TTL != 20*time.Second {
		t.Errorf("time to live from the cache: %v", ans.TTL)
	}
	now.Advance(20 * time.Second)
	asked("example.org", 1)
	asked("nowhere.org", 1)
	asked("nowhere.org", 0)
	now.Advance(time.Minute)
	asked("nowhere.org", 1)
	asked("temp.org", 2) // a failure is asked again, and not kept
	asked("temp.org", 2)

	d.Change(func(r *nettest.Records) { r.TTL = 100 * time.Hour })
	asked("example.org", 1)
	now.Advance(time.Hour - time.Second)
	asked("example.org", 0)
	now.Advance(time.Second)
	asked("example.org", 1)
	asked("nowhere.org", 1)
	now.Advance(5 * time.Minute)
	asked("nowhere.org", 1)

	// Full: something goes, and the rest stays right.
	for _, name := range []string{"a.org", "b.org", "c.org", "d.org"} {
		asked(name, 1)
	}
	asked("d.org", 0)
}

func TestSameLookupsAreOne(t *testing.T) {
	d := nettest.NewDNS(records())
	arrived, gate := make(chan struct{}), make(chan struct{})
	addr, queries := counting(t, d, func(n int64, _ wire.ResponseWriter, _ *wire.Msg) bool {
		if n == 1 {
			close(arrived)
		}
		<-gate
		return false
	})
	c := newClient(t, dns.Options{Servers: []string{addr}, Timeout: time.Minute})
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { // the first to ask leaves; the others still get their answer
		if _, _, err := c.LookupTXT(ctx, "example.org"); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) {
			t.Errorf("a lookup whose caller left: %v", err)
		}
	})
	<-arrived
	for range 20 {
		all.Go(func() {
			if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 {
				t.Errorf("%v, %v", txt, err)
			}
		})
	}
	for c.Waiting("example.org", wire.TypeTXT) < 21 {
		runtime.Gosched() // until all have come
	}
	cancel()
	for c.Waiting("example.org", wire.TypeTXT) > 20 {
		runtime.Gosched()
	}
	close(gate)
	all.Wait()
	if n := queries.Load(); n != 1 {
		t.Errorf("%d queries for 21 lookups at once", n)
	}
}
