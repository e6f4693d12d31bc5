package dns

import (
	"context"
	"sync"
	"time"

	"posthouse/internal/clock"
)

// cache keeps results for their time to live, and lets callers that ask the same
// at the same time share one query.
type cache struct {
	clock clock.Clock
	max   int // entries

	mu      sync.Mutex
	entries map[question]entry
	flights map[question]*flight
}

type entry struct {
	res     result
	expires time.Time
}

// flight is a query under way.
type flight struct {
	done    chan struct{}
	res     result // once done is closed
	err     error
	waiters int // under cache.mu; the query is given up when nobody waits
	cancel  context.CancelFunc
}

func newCache(c clock.Clock, max int) *cache {
	return &cache{clock: c, max: max, entries: make(map[question]entry), flights: make(map[question]*flight)}
}

// get answers q from the cache, or by ask.
func (c *cache) get(ctx context.Context, q question, ask func(context.Context, question) (result, error)) (result, error) {
	c.mu.Lock()
	if e, ok := c.entries[q]; ok {
		if left := e.expires.Sub(c.clock.Now()); left > 0 {
			c.mu.Unlock()
			e.res.ans.TTL = left
			return e.res, nil
		}
		delete(c.entries, q)
	}
	f := c.flights[q]
	if f == nil {
		fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{done: make(chan struct{}), cancel: cancel}
		c.flights[q] = f
		go c.fly(fctx, f, q, ask)
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.res, f.err
	case <-ctx.Done():
		c.leave(f, q)
		return result{}, ctx.Err()
	}
}

// fly asks; it ends within the timeouts of ask, and at once when all leave.
func (c *cache) fly(ctx context.Context, f *flight, q question, ask func(context.Context, question) (result, error)) {
	defer f.cancel()
	f.res, f.err = ask(ctx, q)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[q] == f {
		delete(c.flights, q)
	}
	if f.err == nil && f.res.ans.TTL > 0 && c.max > 0 {
		c.put(q, f.res)
	}
	close(f.done)
}

func (c *cache) leave(f *flight, q question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if c.flights[q] == f {
			delete(c.flights, q)
		}
	}
}

// sampled is how many entries are looked at to find one to drop.
const sampled = 8

// put stores under c.mu. When the cache is full it drops the one that expires
// first among a few taken at random.
func (c *cache) put(q question, r result) {
	if _, there := c.entries[q]; !there && len(c.entries) >= c.max {
		var victim question
		var first time.Time
		n := 0
		for k, e := range c.entries {
			if n == 0 || e.expires.Before(first) {
				victim, first = k, e.expires
			}
			if n++; n == sampled {
				break
			}
		}
		delete(c.entries, victim)
	}
	c.entries[q] = entry{res: r, expires: c.clock.Now().Add(r.ans.TTL)}
}
