// Package nettest is a network that behaves as a test wants it: a mock DNS,
// both as a resolver and as a real server on loopback, and connections that hang
// up, stall, trickle and let time pass.
package nettest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"posthouse/internal/dns"
)

// Records is what a mock DNS knows. Names are A-labels in lower case without
// the final dot.
type Records struct {
	MX    map[string][]dns.MX // Host "" is the null MX
	A     map[string][]string // IPv4 addresses
	AAAA  map[string][]string // IPv6 addresses
	TXT   map[string][]string
	CNAME map[string]string
	TLSA  map[string][]dns.TLSA // "_25._tcp.mx.example.org"
	PTR   map[string][]string   // by address, such as "192.0.2.1"

	// Temp are the names of which every lookup fails for now, or only those of
	// one type: "example.org", "A example.org". An address stands for its PTR.
	Temp map[string]bool
	// Authenticated are the names whose answers carry the AD bit; "*" is all.
	Authenticated map[string]bool
	// TTL is the time to live of all records; 0 is a minute.
	TTL time.Duration
}

// DNS is a mock of the DNS. It implements dns.Resolver, and Serve makes a real
// server of it. It is safe for concurrent use.
type DNS struct {
	mu sync.RWMutex
	r  Records
}

var _ dns.Resolver = (*DNS)(nil)

// NewDNS begins with r, which belongs to the DNS from then on.
func NewDNS(r Records) *DNS {
	d := &DNS{r: r}
	d.Change(func(*Records) {})
	return d
}

// Change lets fn edit the records. Its maps are never nil.
func (d *DNS) Change(fn func(*Records)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	made(&d.r.MX)
	made(&d.r.A)
	made(&d.r.AAAA)
	made(&d.r.TXT)
	made(&d.r.CNAME)
	made(&d.r.TLSA)
	made(&d.r.PTR)
	made(&d.r.Temp)
	made(&d.r.Authenticated)
	fn(&d.r)
}

func made[V any](m *map[string]V) {
	if *m == nil {
		*m = make(map[string]V)
	}
}

// maxAliases bounds a chain of CNAMEs.
const maxAliases = 8

// find follows the aliases of name and answers what is common to all answers of
// one type; owner has the records. The caller holds d.mu.
func (d *DNS) find(rtype, name string) (owner string, chain []string, ans dns.Answer, err error) {
	owner = name
	ans = dns.Answer{TTL: d.ttl(), Authenticated: d.authenticated(name)}
	for {
		if d.r.Temp[owner] || d.r.Temp[rtype+" "+owner] {
			return "", nil, dns.Answer{}, fmt.Errorf("%w: %s %s", dns.ErrTemporary, rtype, owner)
		}
		target, alias := d.r.CNAME[owner]
		if !alias || rtype == "CNAME" {
			return owner, chain, ans, nil
		}
		if len(chain) == maxAliases {
			return "", nil, dns.Answer{}, fmt.Errorf("%w: %s", dns.ErrAliases, name)
		}
		chain = append(chain, owner)
		owner = target
		ans.CNAME = target
		ans.Authenticated = ans.Authenticated && d.authenticated(target)
	}
}

func (d *DNS) ttl() time.Duration {
	if d.r.TTL == 0 {
		return time.Minute
	}
	return d.r.TTL
}

func (d *DNS) authenticated(name string) bool {
	return d.r.Authenticated["*"] || d.r.Authenticated[name]
}

// lookup answers the records of one type.
func lookup[V any](ctx context.Context, d *DNS, rtype, name string, from func(*Records) map[string][]V) ([]V, dns.Answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, dns.Answer{}, fmt.Errorf("%w: %w", dns.ErrTemporary, err)
	}
	name, err := dns.CanonicalName(name)
	if err != nil {
		return nil, dns.Answer{}, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	owner, _, ans, err := d.find(rtype, name)
	if err != nil {
		return nil, ans, err
	}
	list := from(&d.r)[owner]
	if len(list) == 0 {
		return nil, ans, fmt.Errorf("%w: %s %s", dns.ErrNotFound, rtype, name)
	}
	return slices.Clone(list), ans, nil
}

// LookupMX implements dns.Resolver.
func (d *DNS) LookupMX(ctx context.Context, name string) ([]dns.MX, dns.Answer, error) {
	list, ans, err := lookup(ctx, d, "MX", name, func(r *Records) map[string][]dns.MX { return r.MX })
	for i := range list {
		list[i].Host = strings.ToLower(strings.TrimSuffix(list[i].Host, "."))
	}
	slices.SortStableFunc(list, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	return list, ans, err
}

// LookupTXT implements dns.Resolver.
func (d *DNS) LookupTXT(ctx context.Context, name string) ([]string, dns.Answer, error) {
	return lookup(ctx, d, "TXT", name, func(r *Records) map[string][]string { return r.TXT })
}

// LookupTLSA implements dns.Resolver.
func (d *DNS) LookupTLSA(ctx context.Context, name string) ([]dns.TLSA, dns.Answer, error) {
	return lookup(ctx, d, "TLSA", name, func(r *Records) map[string][]dns.TLSA { return r.TLSA })
}

// LookupCNAME implements dns.Resolver.
func (d *DNS) LookupCNAME(ctx context.Context, name string) (string, dns.Answer, error) {
	list, ans, err := lookup(ctx, d, "CNAME", name, func(r *Records) map[string][]string {
		if target, ok := r.CNAME[name]; ok {
			return map[string][]string{name: {target}}
		}
		return nil
	})
	if err != nil {
		return "", ans, err
	}
	return list[0], ans, nil
}

// LookupPTR implements dns.Resolver.
func (d *DNS) LookupPTR(ctx context.Context, addr netip.Addr) ([]string, dns.Answer, error) {
	return lookup(ctx, d, "PTR", addr.Unmap().String(), func(r *Records) map[string][]string { return r.PTR })
}

// LookupIP implements dns.Resolver.
func (d *DNS) LookupIP(ctx context.Context, name string) ([]netip.Addr, dns.Answer, error) {
	six, ans6, err6 := lookup(ctx, d, "AAAA", name, func(r *Records) map[string][]string { return r.AAAA })
	four, ans4, err4 := lookup(ctx, d, "A", name, func(r *Records) map[string][]string { return r.A })
	var all []netip.Addr
	for _, s := range append(six, four...) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, dns.Answer{}, fmt.Errorf("%w: the mock's own record: %w", dns.ErrTemporary, err)
		}
		all = append(all, a)
	}
	switch {
	case err4 == nil:
		return all, ans4, nil
	case err6 == nil:
		return all, ans6, nil
	case errors.Is(err6, dns.ErrTemporary):
		return nil, ans6, err6
	default:
		return nil, ans4, err4
	}
}
