// Package fetch speaks HTTPS with strangers' servers: found by the house's own
// resolver, at public addresses, proven by their certificates, never
// redirected, and soon done.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"posthouse/internal/dns"
)

// ErrPrivate means that a name leads into a private network: nobody from outside
// may make this house call there.
var ErrPrivate = errors.New("fetch: not a public address")

// Options of NewClient. Resolver is needed.
type Options struct {
	Resolver dns.Resolver
	Roots    *x509.CertPool // nil: the system's
	// Port is called in place of 443, at private addresses too, when it is set:
	// for tests.
	Port uint16
	// Timeout of one request; 0 is 30 s. Of it one address, and the handshake, get a
	// third.
	Timeout time.Duration
}

const maxAddrs = 4

// NewClient makes a client. Its requests fail for schemes other than https, and
// a redirect is the answer itself (RFC 8461 section 3.3).
func NewClient(opt Options) *http.Client {
	if opt.Timeout == 0 {
		opt.Timeout = 30 * time.Second
	}
	transport := &http.Transport{
		DialContext:            opt.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opt.Roots},
		TLSHandshakeTimeout:    opt.Timeout / 3,
		MaxResponseHeaderBytes: 16 << 10,
		MaxConnsPerHost:        4,
		DisableKeepAlives:      true,
	}
	return &http.Client{
		Transport:     onlyHTTPS{transport},
		Timeout:       opt.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// onlyHTTPS refuses requests without TLS.
type onlyHTTPS struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper.
func (t onlyHTTPS) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("fetch: scheme %q", r.URL.Scheme)
	}
	return t.next.RoundTrip(r)
}

func (o *Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := o.find(ctx, host)
	if err != nil {
		return nil, err
	}
	if o.Port != 0 {
		port = strconv.Itoa(int(o.Port))
	}
	d := net.Dialer{Timeout: o.Timeout / 3}
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		if o.Port == 0 && !public(a) {
			err = fmt.Errorf("%w: %s", ErrPrivate, a)
			continue
		}
		var c net.Conn
		if c, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// find looks up a host, which may be an address.
func (o *Options) find(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, _, err := o.Resolver.LookupIP(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = dns.ErrNotFound
	}
	return addrs, err
}

func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
