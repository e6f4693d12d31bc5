package tlspolicy

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/kv"
	"posthouse/internal/mailauth/mtasts"
)

// STSOptions of an STSCache. All but Patience are needed.
type STSOptions struct {
	DB       kv.Store
	Resolver dns.Resolver
	Client   *http.Client // see package fetch
	Clock    clock.Clock
	Log      *slog.Logger
	// Patience is how long, by the Clock, Policy waits for a policy server; 0 is
	// 10 s, negative not at all. What comes later counts from then on.
	Patience time.Duration
}

// How often things are done.
const (
	fetchAgain   = 15 * time.Minute    // after a failure (RFC 8461 section 3.3: five minutes at least)
	refreshAfter = 24 * time.Hour      // RFC 8461 section 10.2
	unused       = 30 * 24 * time.Hour // policies of domains without mail are not refreshed
	atOnceFetch  = 16
	maxFailed    = 10_000
)

// STSCache finds the MTA-STS policies of domains, and keeps them over restarts:
// that a policy was seen protects against who could hide it later (RFC 8461
// section 10.2). It implements STS. Safe for concurrent use.
type STSCache struct {
	opt      STSOptions
	flights  singleflight.Group
	fetching chan struct{}
	ctx      context.Context // of fetches; ends with Close
	close    context.CancelFunc
	running  sync.WaitGroup

	mu     sync.Mutex
	failed map[string]failedFetch
}

// failedFetch is a policy that could not be had lately.
type failedFetch struct {
	id      string
	until   time.Time
	problem *Problem
}

// KnownPolicy is a policy with its story.
type KnownPolicy struct {
	Domain  string         `json:"domain"`
	ID      string         `json:"id"` // of the record under which it was fetched
	Policy  *mtasts.Policy `json:"policy"`
	Fetched time.Time      `json:"fetched"`
	Used    time.Time      `json:"used"` // last, to the day
}

// expires is when the policy is forgotten unless it is fetched again.
func (k *KnownPolicy) expires() time.Time { return k.Fetched.Add(k.Policy.MaxAge) }

// NewSTSCache makes a cache over what the store has.
func NewSTSCache(opt STSOptions) *STSCache {
	if opt.Patience == 0 {
		opt.Patience = 10 * time.Second
	}
	c := &STSCache{opt: opt, fetching: make(chan struct{}, atOnceFetch), failed: make(map[string]failedFetch)}
	c.ctx, c.close = context.WithCancel(context.Background())
	return c
}

// Close ends what is being fetched. Nobody must ask any more.
func (c *STSCache) Close() {
	c.close()
	c.running.Wait()
}

func stsKey(domain string) kv.Key {
	return kv.NewKey(kv.TLSPolicies).Byte('s').String(domain)
}

// Policy finds a domain's policy (RFC 8461 section 5.1). What is kept holds until
// it expires, whatever DNS says meanwhile, unless a newer one can be fetched.
func (c *STSCache) Policy(ctx context.Context, domain string) (*mtasts.Policy, *Problem) {
	known := c.load(ctx, domain)
	id, problem := c.record(ctx, domain)
	if id != "" && (known == nil || known.ID != id) {
		fresh, why := c.renew(ctx, domain, id)
		if fresh != nil {
			return fresh, nil
		}
		problem = why
	}
	if known == nil {
		return nil, problem
	}
	c.use(ctx, known)
	return known.Policy, problem
}

// recordPatience is how long, by the Clock, Policy waits for the DNS.
const recordPatience = 5 * time.Second

// record is the id of a domain's record; "" when there is none to be found.
func (c *STSCache) record(ctx context.Context, domain string) (string, *Problem) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := c.opt.Clock.NewTimer(recordPatience)
	defer patience.Stop()
	go func() { // ends with the look-up
		select {
		case <-patience.C():
			cancel()
		case <-ctx.Done():
		}
	}()
	texts, _, err := c.opt.Resolver.LookupTXT(ctx, mtasts.RecordName(domain))
	if err != nil {
		return "", nil // no record, or no answer: the same for now
	}
	id, err := mtasts.ParseRecord(texts)
	if errors.Is(err, mtasts.ErrInvalid) {
		return "", &Problem{STSInvalid, err.Error()}
	}
	return id, nil
}

// fetched is the end of a fetch.
type fetched struct {
	policy  *mtasts.Policy
	problem *Problem
}

// renew fetches a policy and keeps it, once for all who ask at the same time. A
// server that takes its time is not waited for.
func (c *STSCache) renew(ctx context.Context, domain, id string) (*mtasts.Policy, *Problem) {
	if p := c.failedLately(domain, id); p != nil {
		return nil, p
	}
	c.running.Add(1)
	flight := c.flights.DoChan(domain+" "+id, func() (any, error) {
		return c.fetchAndKeep(domain, id), nil
	})
	done := make(chan fetched, 1)
	go func() { // ends with the fetch, which ends with Close
		defer c.running.Done()
		done <- (<-flight).Val.(fetched)
	}()
	patience := c.opt.Clock.NewTimer(c.opt.Patience)
	defer patience.Stop()
	select {
	case f := <-done:
		return f.policy, f.problem
	case <-patience.C():
	case <-ctx.Done():
	}
	return nil, &Problem{STSFetchError, "the policy server does not answer in time"}
}

// fetchAndKeep is the flight of one fetch. Who asked just before the last flight
// landed starts another: it finds what that one brought.
func (c *STSCache) fetchAndKeep(domain, id string) fetched {
	if k := c.load(c.ctx, domain); k != nil && k.ID == id {
		return fetched{k.Policy, nil}
	}
	if p := c.failedLately(domain, id); p != nil {
		return fetched{nil, p}
	}
	policy, problem := c.fetch(c.ctx, domain)
	if problem != nil {
		if c.ctx.Err() == nil {
			c.fail(domain, id, problem)
		}
		return fetched{nil, problem}
	}
	now := c.opt.Clock.Now()
	c.keep(c.ctx, &KnownPolicy{Domain: domain, ID: id, Policy: policy, Fetched: now, Used: now})
	return fetched{policy, nil}
}

func (c *STSCache) failedLately(domain, id string) *Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.failed[domain]
	if !ok || f.id != id || !c.opt.Clock.Now().Before(f.until) {
		return nil
	}
	return f.problem
}

func (c *STSCache) fail(domain, id string, p *Problem) {
	c.opt.Log.Info("MTA-STS policy not fetched", "domain", domain, "reason", p.Reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) >= maxFailed {
		clear(c.failed)
	}
	c.failed[domain] = failedFetch{id: id, until: c.opt.Clock.Now().Add(fetchAgain), problem: p}
}

// load gives what is kept and has not expired.
func (c *STSCache) load(ctx context.Context, domain string) *KnownPolicy {
	var k *KnownPolicy
	err := c.opt.DB.View(ctx, func(r kv.Reader) error {
		value, err := r.Get(stsKey(domain))
		if err != nil {
			return err
		}
		k = decodeKnown(value)
		return nil
	})
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		c.opt.Log.Error("MTA-STS policy not read", "domain", domain, "err", err)
	}
	if k == nil || !c.opt.Clock.Now().Before(k.expires()) {
		return nil
	}
	return k
}

func decodeKnown(value []byte) *KnownPolicy {
	k := new(KnownPolicy)
	if json.Unmarshal(value, k) != nil || k.Policy == nil {
		return nil
	}
	return k
}

func (c *STSCache) keep(ctx context.Context, k *KnownPolicy) {
	value, err := json.Marshal(k)
	if err == nil {
		err = c.opt.DB.Update(ctx, kv.Partitions{kv.TLSPolicies}, func(tx kv.Tx) error { return tx.Set(stsKey(k.Domain), value) })
	}
	if err != nil {
		c.opt.Log.Error("MTA-STS policy not kept", "domain", k.Domain, "err", err)
	}
}

// use notes that a policy is in use, once a day.
func (c *STSCache) use(ctx context.Context, k *KnownPolicy) {
	if now := c.opt.Clock.Now(); now.Sub(k.Used) > refreshAfter {
		k.Used = now
		c.keep(ctx, k)
	}
}

// Known lists what is kept.
func (c *STSCache) Known(ctx context.Context) ([]KnownPolicy, error) {
	var list []KnownPolicy
	prefix := kv.NewKey(kv.TLSPolicies).Byte('s')
	err := c.opt.DB.View(ctx, func(r kv.Reader) error {
		list = list[:0]
		return r.Scan(prefix, prefix.End(), func(_, value []byte) bool {
			if k := decodeKnown(value); k != nil {
				list = append(list, *k)
			}
			return true
		})
	})
	return list, err
}

// Refresh fetches again, one after another, what is in use and more than a day
// old, so that it does not expire (RFC 8461 section 10.2), and forgets what has
// expired. What cannot be fetched is kept. Call it now and then.
func (c *STSCache) Refresh(ctx context.Context) error {
	list, err := c.Known(ctx)
	if err != nil {
		return err
	}
	now := c.opt.Clock.Now()
	for i := range list {
		k := &list[i]
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !now.Before(k.expires()) {
			err := c.opt.DB.Update(ctx, kv.Partitions{kv.TLSPolicies}, func(tx kv.Tx) error { return tx.Delete(stsKey(k.Domain)) })
			if err != nil {
				return err
			}
			continue
		}
		if now.Sub(k.Fetched) < refreshAfter && now.Sub(k.Fetched) < k.Policy.MaxAge/2 || now.Sub(k.Used) > unused {
			continue
		}
		c.refresh(ctx, k)
	}
	return nil
}

func (c *STSCache) refresh(ctx context.Context, k *KnownPolicy) {
	id, _ := c.record(ctx, k.Domain)
	if id == "" {
		id = k.ID
	}
	if c.failedLately(k.Domain, id) != nil {
		return
	}
	policy, problem := c.fetch(ctx, k.Domain)
	if problem != nil {
		c.fail(k.Domain, id, problem)
		return
	}
	k.ID, k.Policy, k.Fetched = id, policy, c.opt.Clock.Now()
	c.keep(ctx, k)
}
