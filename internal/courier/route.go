package courier

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
)

// Bounds on what DNS may say of one domain.
const (
	maxHosts     = 30 // MX hosts looked at
	maxAddrs     = 16 // addresses of one host
	maxRoutes    = 100_000
	minRouteTTL  = 10 * time.Second
	maxSiteName  = 512
	lookupAtOnce = 8
)

// Route is the way to a domain. It is immutable.
type Route struct {
	// Site is equal for domains that are served by the same set of hosts, so
	// that they share limits and connections.
	Site string
	// Hosts in order of preference; those of equal preference are called in an
	// order that is shuffled every time.
	Hosts []Host
	// Took is how long the look-up lasted; 0 for configured routes.
	Took time.Duration

	port    uint16
	via     *relay
	asks    bool // for TLS
	expires time.Time
}

// Host is one server of a route.
type Host struct {
	Name       string
	Preference uint16
	Addrs      []netip.Addr // IPv6 and IPv4 by turns
	// TLS is what is asked of the host, for the domain of the route.
	TLS tlspolicy.Policy

	cname  string // its canonical name, when it is an alias
	secure bool   // its addresses are authenticated
}

// Known is the cached route to a domain, or to what Resolve takes in its place.
func (c *Courier) Known(domain string) (*Route, bool) {
	return c.routes.get(routeKey(domain))
}

// routeKey is a domain in its canonical form; a URL stays as it is.
func routeKey(domain string) string {
	if strings.Contains(domain, "://") {
		return domain
	}
	return smtp.CanonicalDomain(domain)
}

// Resolve finds the way to a domain: configured routes first, then the rules of
// RFC 5321 section 5.1. In place of the domain may stand the URL of a relay, as
// ParseRule takes it. Errors are *status.Error: the outcome for every
// recipient at the domain.
func (c *Courier) Resolve(ctx context.Context, domain string) (*Route, error) {
	domain = routeKey(domain)
	if r, ok := c.routes.get(domain); ok {
		return r, nil
	}
	began := time.Now()
	for {
		of := c.routes.edition()
		r, ttl, err := c.resolve(ctx, domain)
		if err != nil && c.routes.edition() == of {
			return nil, err
		} else if err != nil {
			continue // the rules are others now
		}
		r.Took = max(time.Since(began), 1) // however coarse the clock
		if r.forbidden() {
			ttl = 0 // it may be different soon
		}
		if c.routes.put(domain, r, min(max(ttl, minRouteTTL), DefaultMaxRouteCache), of) {
			return r, nil
		}
	}
}

func (c *Courier) resolve(ctx context.Context, domain string) (*Route, time.Duration, error) {
	if strings.Contains(domain, "://") {
		rule, err := ParseRule("*", domain)
		if err != nil {
			return nil, 0, status.Wrap(err, 451, 4, 4, "The way that an operator chose cannot be read")
		}
		return c.resolveRelay(ctx, &rule.via)
	}
	rules := *c.ways.Load()
	for i := range rules {
		if rules[i].match.Matches(domain) {
			return c.resolveRelay(ctx, &rules[i].via)
		}
	}
	if addr, ok := smtp.ParseLiteral(domain); ok {
		h := Host{Name: domain, Addrs: []netip.Addr{addr}}
		if c.isUs(&h) {
			return nil, 0, errLoop(domain)
		}
		r := &Route{Site: domain, Hosts: []Host{h}, port: c.opt.Port}
		c.decideTLS(ctx, r, tlspolicy.Query{Domain: domain, Implicit: true})
		return r, time.Hour, nil
	}
	if !smtp.ValidDomain(domain) {
		return nil, 0, status.New(550, 1, 2, "Domain name is not valid: "+domain)
	}
	mxs, answer, err := c.opt.Resolver.LookupMX(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return c.resolveImplicit(ctx, domain, answer.Authenticated)
	case err != nil:
		return nil, 0, errLookup(err, domain)
	}
	return c.resolveMX(ctx, domain, mxs, answer)
}

// resolveImplicit treats a domain without MX records as its own mail host
// (RFC 5321 section 5.1). secure: that there are none is authenticated.
func (c *Courier) resolveImplicit(ctx context.Context, domain string, secure bool) (*Route, time.Duration, error) {
	addrs, answer, err := c.opt.Resolver.LookupIP(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNotFound), err == nil && len(addrs) == 0:
		return nil, 0, status.New(550, 1, 2, "Domain does not exist or takes no mail: "+domain)
	case err != nil:
		return nil, 0, errLookup(err, domain)
	}
	h := Host{Name: domain, Addrs: interleave(addrs), cname: answer.CNAME, secure: answer.Authenticated}
	if c.isUs(&h) || answer.CNAME != "" && c.isUs(&Host{Name: answer.CNAME}) {
		return nil, 0, errLoop(domain)
	}
	r := &Route{Site: domain, Hosts: []Host{h}, port: c.opt.Port}
	c.decideTLS(ctx, r, tlspolicy.Query{Domain: domain, Implicit: true, Secure: secure})
	return r, answer.TTL, nil
}

func (c *Courier) resolveMX(ctx context.Context, domain string, mxs []dns.MX, answer dns.Answer) (*Route, time.Duration, error) {
	if len(mxs) == 1 && mxs[0].Host == "" {
		// RFC 7505 section 4.1.
		return nil, 0, status.New(556, 1, 10, "Domain takes no mail (null MX): "+domain)
	}
	mxs = slices.DeleteFunc(slices.Clone(mxs), func(m dns.MX) bool { return m.Host == "" })
	slices.SortStableFunc(mxs, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	hosts := make([]Host, 0, len(mxs))
	for _, m := range mxs[:min(len(mxs), maxHosts)] {
		hosts = append(hosts, Host{Name: strings.ToLower(strings.TrimSuffix(m.Host, ".")), Preference: m.Preference})
	}
	temporary := c.addresses(ctx, hosts)
	// If we are among the hosts, those of equal or worse preference would send
	// the mail back to us (RFC 5321 section 5.1).
	for i := range hosts {
		if c.isUs(&hosts[i]) {
			worst := hosts[i].Preference
			hosts = slices.DeleteFunc(hosts, func(h Host) bool { return h.Preference >= worst })
			if len(hosts) == 0 {
				return nil, 0, errLoop(domain)
			}
			break
		}
	}
	site := siteName(hosts)
	hosts = slices.DeleteFunc(hosts, func(h Host) bool { return len(h.Addrs) == 0 })
	switch {
	case len(hosts) > 0:
		r := &Route{Site: site, Hosts: hosts, port: c.opt.Port}
		c.decideTLS(ctx, r, tlspolicy.Query{Domain: domain, CNAME: answer.CNAME, Secure: answer.Authenticated})
		return r, answer.TTL, nil
	case temporary != nil:
		return nil, 0, errLookup(temporary, domain)
	}
	return nil, 0, status.New(550, 4, 4, "None of the mail hosts of the domain has an address: "+domain)
}

// addresses looks up the hosts' addresses, some at a time. The error is the last
// temporary failure.
func (c *Courier) addresses(ctx context.Context, hosts []Host) error {
	errs := make([]error, len(hosts))
	turn := make(chan struct{}, lookupAtOnce)
	var wg sync.WaitGroup
	for i := range hosts {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			addrs, answer, err := c.opt.Resolver.LookupIP(ctx, hosts[i].Name)
			if err != nil && !errors.Is(err, dns.ErrNotFound) {
				errs[i] = err
			}
			hosts[i].Addrs, hosts[i].cname, hosts[i].secure = interleave(addrs), answer.CNAME, answer.Authenticated
		})
	}
	wg.Wait()
	var last error
	for _, err := range errs {
		if err != nil {
			last = err
		}
	}
	return last
}

func (c *Courier) resolveRelay(ctx context.Context, v *relay) (*Route, time.Duration, error) {
	r := &Route{Site: v.name(), port: v.port, via: v}
	if addr, err := netip.ParseAddr(v.host); err == nil {
		r.Hosts = []Host{{Name: v.host, Addrs: []netip.Addr{addr}}}
		c.decideRelayTLS(ctx, r)
		return r, time.Hour, nil
	}
	addrs, answer, err := c.opt.Resolver.LookupIP(ctx, v.host)
	switch {
	case errors.Is(err, dns.ErrNotFound), err == nil && len(addrs) == 0:
		// The mistake is in our configuration: mail should not be lost by it.
		return nil, 0, status.New(451, 4, 4, "The configured relay has no address: "+v.host)
	case err != nil:
		return nil, 0, errLookup(err, v.host)
	}
	r.Hosts = []Host{{Name: v.host, Addrs: interleave(addrs), cname: answer.CNAME, secure: answer.Authenticated}}
	c.decideRelayTLS(ctx, r)
	return r, answer.TTL, nil
}

// isUs reports whether a host is this house.
func (c *Courier) isUs(h *Host) bool {
	if h.Name != "" && smtp.CanonicalDomain(h.Name) == smtp.CanonicalDomain(c.opt.Hostname) {
		return true
	}
	return c.opt.IsLocal != nil && c.opt.IsLocal(h.Name, h.Addrs, c.opt.Port)
}

func errLoop(domain string) error {
	return status.New(554, 4, 6, "Mail for "+domain+" loops back to this server")
}

func errLookup(err error, domain string) error {
	if errors.Is(err, dns.ErrAliases) {
		return status.Wrap(err, 451, 4, 4, "The name service sends in a circle (CNAME) who looks for the mail hosts of "+domain)
	}
	return status.Wrap(err, 451, 4, 3, "Name service did not answer for "+domain)
}

// siteName is the set of hosts in one string.
func siteName(hosts []Host) string {
	names := make([]string, len(hosts))
	for i := range hosts {
		names[i] = hosts[i].Name
	}
	slices.Sort(names)
	name := strings.Join(slices.Compact(names), ",")
	return name[:min(len(name), maxSiteName)]
}

// interleave puts IPv6 and IPv4 addresses by turns, IPv6 first, so that a broken
// family costs one connection at most.
func interleave(addrs []netip.Addr) []netip.Addr {
	var six, four []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for len(six)+len(four) > 0 && len(out) < maxAddrs {
		if len(six) > 0 {
			out, six = append(out, six[0]), six[1:]
		}
		if len(four) > 0 {
			out, four = append(out, four[0]), four[1:]
		}
	}
	return out
}

// routeCache remembers routes for as long as DNS says, within bounds.
type routeCache struct {
	mu    sync.RWMutex
	clock clock.Clock
	by    map[string]*Route
	of    int // how often all was forgotten
}

func (rc *routeCache) init(c clock.Clock) {
	rc.clock = c
	rc.by = make(map[string]*Route)
}

func (rc *routeCache) get(domain string) (*Route, bool) {
	rc.mu.RLock()
	r := rc.by[domain]
	rc.mu.RUnlock()
	if r == nil || rc.clock.Now().After(r.expires) {
		return nil, false
	}
	return r, true
}

// edition is what put is to be told of what is looked up from now on.
func (rc *routeCache) edition() int {
	rc.mu.RLock()
	defer rc.mu.RUnlock()
	return rc.of
}

// forget drops everything, and what is being looked up.
func (rc *routeCache) forget() {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	clear(rc.by)
	rc.of++
}

// put remembers a route; false when it was found by rules that hold no more.
func (rc *routeCache) put(domain string, r *Route, ttl time.Duration, of int) bool {
	r.expires = rc.clock.Now().Add(ttl)
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if of != rc.of {
		return false
	}
	if len(rc.by) >= maxRoutes {
		for k := range rc.by { // any one will do
			delete(rc.by, k)
			break
		}
	}
	rc.by[domain] = r
	return true
}
