package courier

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/nettest"
	"posthouse/internal/tlspolicy"
)

// fixedSTS gives every domain one MTA-STS policy.
type fixedSTS struct {
	policy  *mtasts.Policy
	problem *tlspolicy.Problem
}

func (s fixedSTS) Policy(context.Context, string) (*mtasts.Policy, *tlspolicy.Problem) {
	return s.policy, s.problem
}

// secured is a peer for example.net at mx.example.net with a certificate of
// root, and a courier that asks a TLS policy.
type secured struct {
	t       *testing.T
	root    *nettest.CA
	peer    *peer
	dns     *nettest.DNS
	sts     fixedSTS
	rules   []tlspolicy.Rule
	mu      sync.Mutex
	results []tlspolicy.Result
}

const stsHost = "mx.example.net"

func newSecured(t *testing.T) *secured {
	s := &secured{t: t, root: nettest.NewCA(t, "root"), peer: newPeer(t, "127.0.0.1:0", "PIPELINING", "REQUIRETLS")}
	s.dns = nettest.NewDNS(nettest.Records{
		MX:            map[string][]dns.MX{"example.net": {{Preference: 10, Host: stsHost}}},
		A:             map[string][]string{stsHost: {"127.0.0.1"}},
		Authenticated: map[string]bool{"*": true},
	})
	s.show(s.root.Issue(t, nettest.Leaf{Names: []string{stsHost}}))
	return s
}

func (s *secured) show(c tls.Certificate) {
	s.peer.tls = &tls.Config{Certificates: []tls.Certificate{c}}
}

func (s *secured) leaf() *x509.Certificate { return s.peer.tls.Certificates[0].Leaf }

// publish sets TLSA records at a host.
func (s *secured) publish(host string, records ...dns.TLSA) {
	s.dns.Change(func(r *nettest.Records) {
		r.TLSA["_"+s.port()+"._tcp."+host] = records
	})
}

func (s *secured) port() string {
	_, port, _ := strings.Cut(s.peer.addr().String(), ":")
	return port
}

func (s *secured) rule(match, level string) {
	r, err := tlspolicy.ParseRule(match, level)
	if err != nil {
		s.t.Fatal(err)
	}
	s.rules = append(s.rules, r)
}

func (s *secured) courier(change ...func(*Options)) *Courier {
	s.peer.start()
	return newCourier(s.t, s.peer, append([]func(*Options){func(o *Options) {
		o.Resolver = s.dns
		o.TLS = &tls.Config{RootCAs: s.root.Pool()}
		o.TLSPolicy = tlspolicy.New(tlspolicy.Options{Resolver: s.dns, Rules: s.rules, STS: s.sts})
		o.TLSResults = func(r *tlspolicy.Result) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.results = append(s.results, *r)
		}
	}}, change...)...)
}

func keyDigest(usage uint8, c *x509.Certificate) dns.TLSA {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return dns.TLSA{Usage: usage, Selector: 1, Matching: 1, Data: sum[:]}
}

// want sends one message and compares the outcome: what the server got is the
// proof.
func (s *secured) want(name string, code int, policy string, verified bool, result tlspolicy.ResultType) {
	s.t.Helper()
	outs := send(s.t, s.courier(), hello, "a@example.net")
	o := outs[0]
	if o.Code != code || o.TLSPolicy != policy || o.Verified != verified {
		s.t.Errorf("%s: %d %s %q, policy %q, verified %v", name, o.Code, o.Enhanced, o.Text, o.TLSPolicy, o.Verified)
	}
	if o.Sent() != (len(s.peer.received()) == 1) {
		s.t.Errorf("%s: the server took %d messages", name, len(s.peer.received()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.results) != 1 || s.results[0].Type != result {
		s.t.Errorf("%s: results %+v, want %q", name, s.results, result)
	}
}

func TestMTASTS(t *testing.T) {
	enforce := &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{stsHost}}
	testing_ := &mtasts.Policy{Mode: mtasts.Testing, MX: []string{stsHost}}
	past := nettest.Leaf{Names: []string{stsHost}, NotAfter: time.Now().Add(-time.Minute)}
	for name, c := range map[string]struct {
		policy   *mtasts.Policy
		set      func(*secured)
		code     int
		source   string
		verified bool
		result   tlspolicy.ResultType
	}{
		"enforce":              {enforce, nil, 250, "mta-sts", true, ""},
		"enforce, wildcard":    {&mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"*.example.net"}}, nil, 250, "mta-sts", true, ""},
		"enforce, other host":  {&mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx2.example.net"}}, nil, 451, "mta-sts", false, tlspolicy.ValidationFailure},
		"enforce, self-signed": {enforce, func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{Names: []string{stsHost}})) }, 451, "mta-sts", false, tlspolicy.NotTrusted},
		"enforce, other name":  {enforce, func(s *secured) { s.show(s.root.Issue(t, nettest.Leaf{Names: []string{"mx.example.org"}})) }, 451, "mta-sts", false, tlspolicy.HostMismatch},
		"enforce, expired":     {enforce, func(s *secured) { s.show(s.root.Issue(t, past)) }, 451, "mta-sts", false, tlspolicy.Expired},
		"enforce, no TLS":      {enforce, func(s *secured) { s.peer.tls = nil }, 451, "mta-sts", false, tlspolicy.StartTLSNotSupported},
		"testing":              {testing_, nil, 250, "opportunistic", true, ""},
		"testing, self-signed": {testing_, func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{Names: []string{stsHost}})) }, 250, "opportunistic", false, tlspolicy.NotTrusted},
		"testing, no TLS":      {testing_, func(s *secured) { s.peer.tls = nil }, 250, "opportunistic", false, tlspolicy.StartTLSNotSupported},
		"testing, other host":  {&mtasts.Policy{Mode: mtasts.Testing, MX: []string{"mx2.example.net"}}, nil, 250, "opportunistic", true, tlspolicy.ValidationFailure},
		"none":                 {&mtasts.Policy{Mode: mtasts.None}, func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{})) }, 250, "opportunistic", false, ""},
		"nothing published":    {nil, func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{})) }, 250, "opportunistic", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t)
			s.sts.policy = c.policy
			if c.set != nil {
				c.set(s)
			}
			s.want(name, c.code, c.source, c.verified, c.result)
		})
	}
}

// TestMTASTSLeavesOutHosts sends to the host that the policy names, though
// another comes first.
func TestMTASTSLeavesOutHosts(t *testing.T) {
	s := newSecured(t)
	s.sts.policy = &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{stsHost}}
	s.dns.Change(func(r *nettest.Records) {
		r.MX["example.net"] = []dns.MX{{Preference: 5, Host: "evil.example.org"}, {Preference: 10, Host: stsHost}}
		r.A["evil.example.org"] = []string{"127.0.0.1"}
	})
	outs := send(t, s.courier(), hello, "a@example.net")
	wantCodes(t, outs, 250)
	if outs[0].Host != stsHost {
		t.Errorf("%+v", outs[0])
	}
}

// TestConnectionsAreNotSharedAcrossPolicies uses a connection again only where
// it is good enough.
func TestConnectionsAreNotSharedAcrossPolicies(t *testing.T) {
	s := newSecured(t)
	s.show(nettest.SelfSigned(t, nettest.Leaf{}))
	s.dns.Change(func(r *nettest.Records) { r.MX["other.net"] = r.MX["example.net"] })
	s.rule("other.net", "verify")
	c := s.courier()
	wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	wantCodes(t, send(t, c, hello, "a@other.net"), 451)
	wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	if n := s.peer.connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestConfiguredLevels(t *testing.T) {
	wrong := nettest.NewCA(t, "wrong").Cert
	self := func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{Names: []string{stsHost}})) }
	clear := func(s *secured) { s.peer.tls = nil }
	for name, c := range map[string]struct {
		level    string
		set      func(*secured)
		code     int
		verified bool
		tls      bool
	}{
		"none":                         {"none", nil, 250, false, false},
		"none overrides DANE":          {"none", func(s *secured) { s.publish(stsHost, keyDigest(3, wrong)) }, 250, false, false},
		"may overrides DANE":           {"may", func(s *secured) { s.publish(stsHost, keyDigest(3, wrong)) }, 250, true, true},
		"may, in clear":                {"may", clear, 250, false, false},
		"encrypt takes anybody":        {"encrypt", self, 250, false, true},
		"encrypt, in clear":            {"encrypt", clear, 451, false, false},
		"verify":                       {"verify", nil, 250, true, true},
		"verify, self-signed":          {"verify", self, 451, false, false},
		"secure, host in the domain":   {"secure", nil, 250, true, true},
		"secure, host of another":      {"secure", func(s *secured) { s.show(s.root.Issue(t, nettest.Leaf{Names: []string{"mx.hoster.example"}})) }, 451, false, false},
		"dane without records":         {"dane", clear, 250, false, false},
		"dane with records":            {"dane", func(s *secured) { s.publish(stsHost, keyDigest(3, wrong)) }, 451, false, false},
		"dane-only without records":    {"dane-only", nil, 451, false, false},
		"dane-only with records":       {"dane-only", func(s *secured) { s.publish(stsHost, keyDigest(3, s.leaf())) }, 250, true, true},
		"dane-only, nothing is usable": {"dane-only", func(s *secured) { s.publish(stsHost, keyDigest(1, wrong)) }, 451, false, false},
		"auto":                         {"auto", func(s *secured) { s.publish(stsHost, keyDigest(3, wrong)) }, 451, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t)
			s.rule("example.org", "dane-only") // of somebody else
			s.rule("*.net", c.level)
			s.rule("*", "dane-only") // the first match wins
			if c.set != nil {
				c.set(s)
			}
			o := send(t, s.courier(), hello, "a@example.net")[0]
			if o.Code != c.code || o.Verified != c.verified || (o.TLS != "") != c.tls {
				t.Errorf("%d %s %q, verified %v, TLS %q", o.Code, o.Enhanced, o.Text, o.Verified, o.TLS)
			}
		})
	}
}
