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
	until map[netip.AddrPort]death
}

// death is until when, and why.
type death struct {
	until time.Time
	why   string
}

func (d *deadHosts) init(c clock.Clock, keep time.Duration) {
	d.clock, d.keep = c, keep
	d.until = make(map[netip.AddrPort]death)
}

func (d *deadHosts) add(a netip.AddrPort, why string) {
	if d.keep <= 0 {
		return
	}
	now := d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.until) >= maxDead {
		for k, t := range d.until {
			if t.until.Before(now) || len(d.until) >= maxDead {
				delete(d.until, k)
			}
		}
	}
	d.until[a] = death{now.Add(d.keep), why}
}

func (d *deadHosts) remove(a netip.AddrPort) {
	d.mu.Lock()
	delete(d.until, a)
	d.mu.Unlock()
}

func (d *deadHosts) has(a netip.AddrPort) bool { return d.why(a) != "" }

// why is what failed; "" when nothing did lately.
func (d *deadHosts) why(a netip.AddrPort) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.until) == 0 {
		return ""
	}
	t, ok := d.until[a]
	if !ok || !d.clock.Now().Before(t.until) {
		return ""
	}
	return t.why
}
