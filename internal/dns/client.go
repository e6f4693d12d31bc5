package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"posthouse/internal/clock"
)

// Options of NewClient. The zero value is good.
type Options struct {
	// Servers are IP addresses with an optional port; none means those of
	// ResolvConf.
	Servers []string
	// ResolvConf is the system's list of servers; "" is /etc/resolv.conf.
	ResolvConf string
	// TrustAD believes the AD bit: the servers check DNSSEC themselves, and the way
	// to them is safe (RFC 7672 section 2.1.3). Of a server on this machine that
	// is not sure: many pass on what another one says.
	TrustAD bool
	// Timeout bounds one attempt at one server; 0 is 3 seconds.
	Timeout time.Duration
	// CacheEntries bounds the answers kept; 0 is 10,000, negative none.
	CacheEntries int
	// Clock is the time of the cache; nil is the machine's.
	Clock clock.Clock
}

// Client asks recursive resolvers. It implements Resolver.
type Client struct {
	servers []server
	timeout time.Duration
	cache   *cache
	asking  chan struct{} // one value per query under way
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

var _ Resolver = (*Client)(nil)

const (
	maxServers = 8   // servers used
	maxAsking  = 256 // queries under way
)

// NewClient makes a client. Its only errors are servers that are no addresses.
func NewClient(opt Options) (*Client, error) {
	if opt.ResolvConf == "" {
		opt.ResolvConf = "/etc/resolv.conf"
	}
	list := opt.Servers
	if len(list) == 0 {
		list = systemServers(opt.ResolvConf)
	}
	c := &Client{timeout: opt.Timeout, asking: make(chan struct{}, maxAsking), dial: new(net.Dialer).DialContext}
	for _, s := range list[:min(len(list), maxServers)] {
		addr, err := parseServer(s)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, server{addr: addr, trustAD: opt.TrustAD})
	}
	if c.timeout <= 0 {
		c.timeout = 3 * time.Second
	}
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	if opt.CacheEntries == 0 {
		opt.CacheEntries = 10_000
	}
	c.cache = newCache(opt.Clock, opt.CacheEntries)
	return c, nil
}

// lookup answers one question.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) (result, error) {
	n, err := CanonicalName(name)
	if err != nil {
		return result{}, err
	}
	if err := ctx.Err(); err != nil {
		return result{}, fmt.Errorf("%w: %s: %w", ErrTemporary, n, err)
	}
	r, err := c.cache.get(ctx, question{n, qtype}, c.askInTurn)
	if err != nil {
		if !errors.Is(err, ErrTemporary) {
			err = fmt.Errorf("%w: %s: %w", ErrTemporary, n, err)
		}
		return result{}, err
	}
	return r, r.err
}

// askInTurn asks when fewer than maxAsking others do.
func (c *Client) askInTurn(ctx context.Context, q question) (result, error) {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	defer func() { <-c.asking }()
	return c.chase(ctx, q)
}

// chase asks, and again for what an alias stands for where the server leaves that
// to us. Only what is authenticated all the way is (RFC 7672 section 2.1.3).
func (c *Client) chase(ctx context.Context, q question) (result, error) {
	r, err := c.ask(ctx, q)
	for n := 1; err == nil && r.open; n++ {
		if n == maxChain {
			return result{}, fmt.Errorf("%w: %s", ErrAliases, q.name)
		}
		so := r.ans
		if r, err = c.ask(ctx, question{so.CNAME, q.qtype}); r.ans.CNAME == "" {
			r.ans.CNAME = so.CNAME
		}
		r.ans.Authenticated = r.ans.Authenticated && so.Authenticated
		r.ans.TTL = min(r.ans.TTL, so.TTL)
	}
	return r, err
}

// LookupMX implements Resolver. The records come in order of preference; a null
// MX (RFC 7505) is the only one, with an empty host.
func (c *Client) LookupMX(ctx context.Context, name string) ([]MX, Answer, error) {
	r, err := c.lookup(ctx, name, dns.TypeMX)
	return slices.Clone(r.mx), r.ans, err
}

// LookupTXT implements Resolver.
func (c *Client) LookupTXT(ctx context.Context, name string) ([]string, Answer, error) {
	r, err := c.lookup(ctx, name, dns.TypeTXT)
	return slices.Clone(r.txt), r.ans, err
}

// LookupTLSA implements Resolver.
func (c *Client) LookupTLSA(ctx context.Context, name string) ([]TLSA, Answer, error) {
	r, err := c.lookup(ctx, name, dns.TypeTLSA)
	list := slices.Clone(r.tlsa)
	for i := range list {
		list[i].Data = slices.Clone(list[i].Data)
	}
	return list, r.ans, err
}

// LookupCNAME implements Resolver.
func (c *Client) LookupCNAME(ctx context.Context, name string) (string, Answer, error) {
	r, err := c.lookup(ctx, name, dns.TypeCNAME)
	return r.cname, r.ans, err
}

// LookupPTR implements Resolver.
func (c *Client) LookupPTR(ctx context.Context, addr netip.Addr) ([]string, Answer, error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, Answer{}, fmt.Errorf("%w: address %q", ErrNotFound, addr)
	}
	r, err := c.lookup(ctx, name, dns.TypePTR)
	return slices.Clone(r.ptr), r.ans, err
}

// LookupIP implements Resolver. IPv6 comes first. The answer is authenticated
// when every family that gave addresses is.
func (c *Client) LookupIP(ctx context.Context, name string) ([]netip.Addr, Answer, error) {
	six := make(chan family, 1)
	go func() { // ends with ctx, and its lookup is waited for
		r, err := c.lookup(ctx, name, dns.TypeAAAA)
		six <- family{r, err}
	}()
	r, err := c.lookup(ctx, name, dns.TypeA)
	return joinFamilies((<-six), family{r, err})
}

// family is what one of the two address families gave.
type family struct {
	result
	err error
}

func joinFamilies(six, four family) ([]netip.Addr, Answer, error) {
	switch {
	case six.err == nil && four.err == nil:
		a, b := six.ans, four.ans
		return slices.Concat(six.ip, four.ip), Answer{
			TTL:           min(a.TTL, b.TTL),
			Authenticated: a.Authenticated && b.Authenticated,
			CNAME:         a.CNAME,
		}, nil
	case six.err == nil:
		return slices.Clone(six.ip), six.ans, nil
	case four.err == nil:
		return slices.Clone(four.ip), four.ans, nil
	case errors.Is(six.err, ErrTemporary):
		// No address can only be said when both families say so.
		return nil, six.ans, six.err
	default:
		return nil, four.ans, four.err
	}
}
