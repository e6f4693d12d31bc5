package courier

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/envelope"
	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
)

// fakeDNS is a map of records.
type fakeDNS struct {
	mx   map[string][]dns.MX
	ip   map[string][]netip.Addr
	fail map[string]bool
}

func (d *fakeDNS) LookupMX(_ context.Context, name string) ([]dns.MX, dns.Answer, error) {
	if d.fail[name] {
		return nil, dns.Answer{}, dns.ErrTemporary
	}
	if mx := d.mx[name]; mx != nil {
		return mx, dns.Answer{TTL: time.Hour}, nil
	}
	return nil, dns.Answer{}, fmt.Errorf("%w: %s", dns.ErrNotFound, name)
}

func (d *fakeDNS) LookupIP(_ context.Context, name string) ([]netip.Addr, dns.Answer, error) {
	if d.fail[name] {
		return nil, dns.Answer{}, dns.ErrTemporary
	}
	if ip := d.ip[name]; ip != nil {
		return ip, dns.Answer{TTL: time.Hour}, nil
	}
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupTXT(context.Context, string) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupTLSA(context.Context, string) ([]dns.TLSA, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupCNAME(context.Context, string) (string, dns.Answer, error) {
	return "", dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupPTR(context.Context, netip.Addr) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

// selfSigned makes a certificate that nobody trusts.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{nettest.SelfSigned(t, nettest.Leaf{Names: []string{"peer"}})}}
}

// newCourier sends mail for example.net to the peer by MX, unless opt says else. It
// is patient: no test waits for it, and none is to fail on a machine that is slow.
func newCourier(t *testing.T, p *peer, change ...func(*Options)) *Courier {
	t.Helper()
	opt := Options{Hostname: "us.example.test", Idle: time.Hour, DeadHost: time.Hour, Timeouts: patient, Rules: rules(t)}
	if p != nil {
		opt.Port = p.addr().Port()
		opt.Resolver = &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 10, Host: "mx.example.net"}}},
			ip: map[string][]netip.Addr{"mx.example.net": {p.addr().Addr()}},
		}
	}
	for _, f := range change {
		f(&opt)
	}
	c := New(opt)
	t.Cleanup(c.Close)
	return c
}

// rules are the standard ones, read once.
func rules(t *testing.T) *classify.Table {
	t.Helper()
	table, err := standard()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var standard = sync.OnceValues(classify.Standard)

var patient = Timeouts{
	Connect: time.Hour, Greeting: time.Hour, Mail: time.Hour, DataInit: time.Hour, DataBlock: time.Hour, DataDone: time.Hour,
	LastWords: time.Hour, Quit: time.Hour, TLS: time.Hour,
}

func rcpts(list ...string) []envelope.Rcpt {
	var out []envelope.Rcpt
	for _, s := range list {
		a, err := smtp.ParseAddress(s)
		if err != nil {
			panic(err)
		}
		out = append(out, envelope.Rcpt{To: a})
	}
	return out
}

// send delivers text to recipients, all at the domain of the first.
func send(t *testing.T, c *Courier, text string, to ...string) []Outcome {
	t.Helper()
	return transfer(t, c, &Transfer{Rcpts: rcpts(to...)}, text)
}

func transfer(t *testing.T, c *Courier, x *Transfer, text string) []Outcome {
	t.Helper()
	route, err := c.Resolve(t.Context(), x.Rcpts[0].To.Domain)
	if err != nil {
		t.Fatal(err)
	}
	x.Route, x.Body, x.Size = route, strings.NewReader(text), int64(len(text))
	if x.From.IsZero() {
		x.From = smtp.Address{Local: "alice", Domain: "example.test"}
	}
	return c.Deliver(t.Context(), x)
}

func wantCodes(t *testing.T, outs []Outcome, codes ...int) {
	t.Helper()
	if len(outs) != len(codes) {
		t.Fatalf("%d outcomes, want %d", len(outs), len(codes))
	}
	for i, o := range outs {
		if o.Code != codes[i] {
			t.Errorf("recipient %d: %d %s %s, want %d", i, o.Code, o.Enhanced, o.Text, codes[i])
		}
	}
}
