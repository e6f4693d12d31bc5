package greylist

import (
	"net/netip"
	"time"
)

// maxKnown bounds the networks that are kept in memory.
const maxKnown = 1 << 16

// freshFor is for how long it is not noted again that something was seen, which
// its lifetime is shorter by at most.
func (l *List) freshFor() time.Duration { return min(24*time.Hour, l.opt.Lifetime/8) }

// learned reports whether a network has come again often enough.
func (l *List) learned(r record) bool { return l.opt.Learn > 0 && r.count >= uint32(l.opt.Learn) }

// knows reports whether a network is known, as far as memory tells.
func (l *List) knows(n netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	r, ok := l.known[n]
	switch {
	case ok && now.Sub(r.at) > l.opt.Lifetime:
		delete(l.known, n)
		ok = false
	case ok && l.learned(r) && now.Sub(r.at) > l.freshFor():
		r.at = now
		l.known[n] = r
		l.mu.Unlock()
		l.put(rowNetwork, prefixID(n), r)
		return true
	}
	l.mu.Unlock()
	return ok && l.learned(r)
}

// remember takes a network into memory as the store has it, unless memory knows
// better.
func (l *List) remember(n netip.Prefix, r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.known[n]; !ok {
		l.makeRoom()
		l.known[n] = r
	}
}

// credit counts a triplet that has come again for its network; stored is what the
// store says of it.
func (l *List) credit(n netip.Prefix, stored record, now time.Time) {
	l.mu.Lock()
	r, ok := l.known[n]
	if !ok {
		l.makeRoom()
		r = stored
	}
	r.count++
	r.at = now
	l.known[n] = r
	l.mu.Unlock()
	l.put(rowNetwork, prefixID(n), r)
}

// makeRoom forgets any one network when there are too many; the store has it.
func (l *List) makeRoom() {
	if len(l.known) < maxKnown {
		return
	}
	for n := range l.known {
		delete(l.known, n)
		return
	}
}
