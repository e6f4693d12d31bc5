package courier

import "time"

// under reports whether a cap counts the connection.
func (cl *claim) under(key string) bool {
	for i := range cl.caps {
		if cl.caps[i].Key == key {
			return true
		}
	}
	return false
}

// mayOpen reports whether another connection may be made. Idle ones that are in
// the way, of other sites under the same caps, are closed for it; p.mu is held.
func (p *pool) mayOpen(cl *claim, s *siteConns) bool {
	now, perSite := time.Now(), p.opt.PerSite
	for i := range cl.caps {
		c := &cl.caps[i]
		g := p.groups[c.Key]
		if c.Open > perSite {
			perSite = c.Open
		}
		if g == nil {
			continue
		}
		if !c.Rate.IsZero() && now.Before(g.next) {
			p.startAt(g.next)
			return false
		}
		if c.Open > 0 && g.open >= c.Open && !p.evict(c.Key) {
			return false
		}
	}
	return s.open < perSite && (p.total < p.opt.Total || p.evict(""))
}

// count counts a connection that is about to be made; p.mu is held.
func (p *pool) count(cl *claim) {
	p.total++
	for i := range cl.caps {
		c := &cl.caps[i]
		g := p.groups[c.Key]
		if g == nil {
			g = new(group)
			p.groups[c.Key] = g
		}
		g.open++
		if !c.Rate.IsZero() {
			g.next = time.Now().Add(c.Rate.Interval())
		}
	}
}

func (p *pool) uncount(cl *claim) {
	p.total--
	for i := range cl.caps {
		key := cl.caps[i].Key
		if g := p.groups[key]; g != nil {
			if g.open--; g.open == 0 && !time.Now().Before(g.next) {
				delete(p.groups, key)
			}
		}
	}
}

// startAt wakes those that wait when a rate lets one of them begin; p.mu is held.
func (p *pool) startAt(at time.Time) {
	if p.starter != nil {
		return
	}
	p.starter = time.AfterFunc(time.Until(at), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.starter = nil; !p.closed {
			p.wake()
		}
	})
}

// maxUse is how many messages go over one connection.
func (p *pool) maxUse(cl *claim) int {
	if cl.maxUse > 0 {
		return min(cl.maxUse, p.opt.MaxPerConn)
	}
	return p.opt.MaxPerConn
}
