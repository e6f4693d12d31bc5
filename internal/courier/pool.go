package courier

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errPoolClosed ends transfers that wait for a connection while the courier closes.
var errPoolClosed = errors.New("courier: closed")

// pool counts connections, keeps unused ones for a while and makes callers wait
// while a limit is reached, first come first served among those who may go on.
type pool struct {
	mu      sync.Mutex
	opt     *Options
	sites   map[string]*siteConns
	groups  map[string]*group
	total   int // open connections, idle ones included
	idle    int
	waiters []*waiter
	sweeper *time.Timer // nil while nothing is idle
	starter *time.Timer // wakes those that a rate keeps waiting
	closed  bool
	quits   sync.WaitGroup // connections on their way out
}

// claim is what a connection is for, and what it counts against.
type claim struct {
	site   string // with the source and what is asked of TLS
	caps   []Cap
	maxUse int // messages over one connection
}

type siteConns struct {
	open int     // busy and idle
	idle []*conn // the latest last
}

// group is the connections under one Cap.
type group struct {
	open int
	next time.Time // when the rate lets another begin
}

type waiter struct {
	claim *claim
	turn  chan *conn // a connection, or nil for leave to make one; closed on close
}

func (p *pool) init(opt *Options) {
	p.opt = opt
	p.sites = make(map[string]*siteConns)
	p.groups = make(map[string]*group)
}

// acquire gives an idle connection to the site, or nil: leave to make one. The
// caller hands it back with release, or ends it (or the leave) with drop. waited
// is how long it stood in line; 0 if it did not have to.
func (p *pool) acquire(ctx context.Context, cl *claim) (c *conn, waited time.Duration, err error) {
	p.mu.Lock()
	c, ok := p.take(cl)
	if ok || p.closed {
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil, 0, errPoolClosed
		}
		return c, 0, nil
	}
	began := time.Now()
	w := &waiter{claim: cl, turn: make(chan *conn, 1)}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()
	select {
	case c, open := <-w.turn:
		if !open {
			return nil, 0, errPoolClosed
		}
		return c, time.Since(began), nil
	case <-ctx.Done():
		return nil, 0, p.leave(ctx, w)
	}
}

// leave gives up waiting.
func (p *pool) leave(ctx context.Context, w *waiter) error {
	p.mu.Lock()
	for i, other := range p.waiters {
		if other == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			p.mu.Unlock()
			return ctx.Err()
		}
	}
	p.mu.Unlock()
	// The turn came at the same moment: pass it on.
	if c, open := <-w.turn; open {
		p.release(w.claim, c)
	}
	return ctx.Err()
}

// take is acquire without waiting; p.mu is held.
func (p *pool) take(cl *claim) (*conn, bool) {
	if p.closed {
		return nil, false
	}
	s := p.sites[cl.site]
	if s == nil {
		s = new(siteConns)
		p.sites[cl.site] = s
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		p.idle--
		return c, true
	}
	if p.mayOpen(cl, s) {
		s.open++
		p.count(cl)
		return nil, true
	}
	if s.open == 0 {
		delete(p.sites, cl.site)
	}
	return nil, false
}

// evict closes the connection that has been idle longest, of those under a cap
// if one is named; p.mu is held.
func (p *pool) evict(key string) bool {
	var from *siteConns
	at := 0
	for _, s := range p.sites {
		for i, c := range s.idle {
			if key != "" && !c.claim.under(key) {
				continue
			}
			if from == nil || c.idleSince.Before(from.idle[at].idleSince) {
				from, at = s, i
			}
			break // the first of a site that suits is its oldest
		}
	}
	if from == nil {
		return false
	}
	c := from.idle[at]
	from.idle = append(from.idle[:at], from.idle[at+1:]...)
	p.idle--
	p.forget(c.claim)
	p.quits.Go(c.quit) // bounded by the Quit timeout
	return true
}

// forget counts a connection out; p.mu is held.
func (p *pool) forget(cl *claim) {
	p.uncount(cl)
	if s := p.sites[cl.site]; s != nil {
		if s.open--; s.open == 0 {
			delete(p.sites, cl.site)
		}
	}
}

// release hands a connection back for others, or with nil an unused leave.
func (p *pool) release(cl *claim, c *conn) {
	if c == nil || c.sent >= p.maxUse(cl) || c.full() || p.opt.Idle < 0 {
		if c != nil {
			c.quit()
		}
		p.drop(cl) // now: the server must not see one more than it may
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.forget(cl)
		p.quits.Go(c.quit)
		return
	}
	for i, w := range p.waiters {
		if w.claim.site == cl.site {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			w.turn <- c
			return
		}
	}
	c.idleSince = time.Now()
	s := p.sites[cl.site]
	s.idle = append(s.idle, c)
	p.idle++
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(p.opt.Idle, p.sweep)
	}
	p.wake()
}

// drop counts out a connection that is closed, or a leave not used.
func (p *pool) drop(cl *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(cl)
	p.wake()
}

// wake lets those go on who can; p.mu is held.
func (p *pool) wake() {
	for i := 0; i < len(p.waiters); {
		c, ok := p.take(p.waiters[i].claim)
		if !ok {
			i++
			continue
		}
		p.waiters[i].turn <- c
		p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
	}
}

// sweep ends connections that nobody used for the idle time.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeper = nil
	if p.closed {
		return
	}
	limit := time.Now().Add(-p.opt.Idle)
	for _, s := range p.sites {
		for len(s.idle) > 0 && !s.idle[0].idleSince.After(limit) {
			c := s.idle[0]
			s.idle = s.idle[1:]
			p.idle--
			p.quits.Go(func() {
				c.quit()
				p.drop(c.claim)
			})
		}
	}
	if p.idle > 0 {
		p.sweeper = time.AfterFunc(p.opt.Idle/2+time.Millisecond, p.sweep)
	}
}

// close ends the idle connections and everybody's waiting.
func (p *pool) close() {
	p.mu.Lock()
	var idle []*conn
	p.closed = true
	for _, t := range []*time.Timer{p.sweeper, p.starter} {
		if t != nil {
			t.Stop()
		}
	}
	for _, s := range p.sites {
		for _, c := range s.idle {
			idle = append(idle, c)
			p.forget(c.claim)
		}
		s.idle = nil
	}
	p.idle = 0
	for _, w := range p.waiters {
		close(w.turn)
	}
	p.waiters = nil
	p.mu.Unlock()
	for _, c := range idle {
		p.quits.Go(c.quit)
	}
	p.quits.Wait()
}
