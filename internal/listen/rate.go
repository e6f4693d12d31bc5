package listen

import (
	"net/netip"
	"sync"
	"time"
)

// maxPaced bounds how many networks a pace remembers.
const maxPaced = 1 << 16

// pace bounds how often something comes from one network: a full minute's worth
// at once, and from then on evenly. Safe for concurrent use.
type pace struct {
	every time.Duration // between two, in the long run

	mu sync.Mutex
	// due is when each network will have paid for what it took.
	due map[netip.Prefix]time.Time
}

// newPace allows perMinute; 0 or less is no bound, and nil.
func newPace(perMinute int) *pace {
	if perMinute <= 0 {
		return nil
	}
	return &pace{every: max(time.Minute/time.Duration(perMinute), 1), due: make(map[netip.Prefix]time.Time)}
}

// fits reports whether one more may come now.
func (p *pace) fits(n netip.Prefix, now time.Time) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.due[n].Sub(now) <= time.Minute-p.every
}

// count takes one.
func (p *pace) count(n netip.Prefix, now time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	due, ok := p.due[n]
	if !ok && len(p.due) >= maxPaced {
		p.makeRoom(now)
	}
	if due.Before(now) {
		due = now
	}
	p.due[n] = due.Add(p.every)
}

// giveBack undoes one count.
func (p *pace) giveBack(n netip.Prefix) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if due, ok := p.due[n]; ok {
		p.due[n] = due.Add(-p.every)
	}
}

// makeRoom forgets who has paid, and if that is little some of the others.
func (p *pace) makeRoom(now time.Time) {
	for n, due := range p.due {
		if !due.After(now) {
			delete(p.due, n)
		}
	}
	for n := range p.due {
		if len(p.due) <= maxPaced*7/8 {
			return
		}
		delete(p.due, n)
	}
}
