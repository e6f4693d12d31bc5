package courier

import (
	"net/netip"
	"sync"
	"time"

	"posthouse/internal/clock"
)

// badTLSFor is how long a host whose TLS handshake failed is spoken to in clear.
const badTLSFor = 10 * time.Minute

// maxDead bounds what is remembered.
const maxDead = 10_000

// deadHosts remembers addresses of which something failed, for some time, so
// that not every message pays for it again.
type deadHosts struct {
	mu    sync.Mutex
	clock clock.Clock
	keep  time.Duration
	until map[netip.AddrPort]time.Time
}

func (d *deadHosts) init(c clock.Clock, keep time.Duration) {
	d.clock, d.keep = c, keep
	d.until = make(map[netip.AddrPort]time.Time)
}

func (d *deadHosts) add(a netip.AddrPort) {
	if d.keep <= 0 {
		return
	}
	now := d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.until) >= maxDead {
		for k, t := range d.until {
			if t.Before(now) || len(d.until) >= maxDead {
				delete(d.until, k)
			}
		}
	}
	d.until[a] = now.Add(d.keep)
}

func (d *deadHosts) remove(a netip.AddrPort) {
	d.mu.Lock()
	delete(d.until, a)
	d.mu.Unlock()
}

func (d *deadHosts) has(a netip.AddrPort) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.until) == 0 {
		return false
	}
	t, ok := d.until[a]
	return ok && d.clock.Now().Before(t)
}
