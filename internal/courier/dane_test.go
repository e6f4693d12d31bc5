package courier

import (
	"net/netip"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/nettest"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
)

func TestDANE(t *testing.T) {
	wrong := nettest.NewCA(t, "wrong").Cert
	type world = secured
	for name, c := range map[string]struct {
		set      func(*world)
		code     int
		policy   string
		verified bool
		result   tlspolicy.ResultType
	}{
		"EE matches": {func(s *world) { s.publish(stsHost, keyDigest(3, s.leaf())) }, 250, "dane", true, ""},
		"EE of a self-signed, expired certificate for another name": {func(s *world) {
			s.show(nettest.SelfSigned(t, nettest.Leaf{Names: []string{"x.example"}, NotAfter: time.Now().Add(-time.Minute)}))
			s.publish(stsHost, keyDigest(3, s.leaf()))
		}, 250, "dane", true, ""},
		"EE of another key": {func(s *world) { s.publish(stsHost, keyDigest(3, wrong)) }, 451, "dane", false, tlspolicy.ValidationFailure},
		"TA matches":        {func(s *world) { s.publish(stsHost, keyDigest(2, s.root.Cert)) }, 250, "dane", true, ""},
		"TA, the name is the recipients' domain": {func(s *world) {
			s.show(s.root.Issue(t, nettest.Leaf{Names: []string{"example.net"}}))
			s.publish(stsHost, keyDigest(2, s.root.Cert))
		}, 250, "dane", true, ""},
		"TA, another name": {func(s *world) {
			s.show(s.root.Issue(t, nettest.Leaf{Names: []string{"mx.example.org"}}))
			s.publish(stsHost, keyDigest(2, s.root.Cert))
		}, 451, "dane", false, tlspolicy.HostMismatch},
		"TA, expired": {func(s *world) {
			s.show(s.root.Issue(t, nettest.Leaf{Names: []string{stsHost}, NotAfter: time.Now().Add(-time.Minute)}))
			s.publish(stsHost, keyDigest(2, s.root.Cert))
		}, 451, "dane", false, tlspolicy.Expired},
		"no STARTTLS is no clear text": {func(s *world) {
			s.publish(stsHost, keyDigest(3, s.leaf()))
			s.peer.tls = nil
		}, 451, "dane", false, tlspolicy.StartTLSNotSupported},
		"STARTTLS refused is no clear text": {func(s *world) {
			s.publish(stsHost, keyDigest(3, s.leaf()))
			s.peer.answers["STARTTLS"] = "454 4.7.0 not now"
		}, 451, "dane", false, tlspolicy.StartTLSNotSupported},
		"a broken handshake is no clear text": {func(s *world) {
			s.publish(stsHost, keyDigest(3, s.leaf()))
			s.peer.tls, s.peer.badTLS = nil, true
		}, 451, "dane", false, tlspolicy.ValidationFailure},
		"only unusable records: TLS from anybody": {func(s *world) {
			s.show(nettest.SelfSigned(t, nettest.Leaf{}))
			s.publish(stsHost, keyDigest(0, wrong), keyDigest(1, wrong))
		}, 250, "dane", false, tlspolicy.TLSAInvalid},
		"only unusable records: never in clear": {func(s *world) {
			s.publish(stsHost, keyDigest(1, wrong))
			s.peer.tls = nil
		}, 451, "dane", false, tlspolicy.StartTLSNotSupported},
		"a usable record beside others": {func(s *world) { s.publish(stsHost, keyDigest(1, wrong), keyDigest(3, s.leaf())) }, 250, "dane", true, ""},
		"no answer about TLSA": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) { r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true })
		}, 451, "dane", false, tlspolicy.DNSSECInvalid},
		"MX is not authenticated": {func(s *world) {
			s.publish(stsHost, keyDigest(3, wrong))
			s.dns.Change(func(r *nettest.Records) { r.Authenticated = map[string]bool{stsHost: true} })
		}, 250, "opportunistic", true, ""},
		"addresses are not authenticated: TLSA is not asked for": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.Authenticated = map[string]bool{"example.net": true}
				r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true
			})
		}, 250, "opportunistic", true, ""},
		"TLSA is not authenticated": {func(s *world) {
			s.publish(stsHost, keyDigest(3, wrong))
			s.dns.Change(func(r *nettest.Records) {
				r.Authenticated = map[string]bool{"example.net": true, stsHost: true}
			})
		}, 250, "opportunistic", true, ""},
		"alias: records at its target": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
			})
			s.publish("real.example.net", keyDigest(3, s.leaf()))
			s.publish(stsHost, keyDigest(3, wrong))
		}, 250, "dane", true, ""},
		"alias: records at the alias": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
			})
			s.publish(stsHost, keyDigest(3, wrong))
		}, 451, "dane", false, tlspolicy.ValidationFailure},
		"alias to where nothing is authenticated: records at the alias": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
				r.Authenticated = map[string]bool{"example.net": true, stsHost: true, "_" + s.port() + "._tcp." + stsHost: true}
			})
			s.publish(stsHost, keyDigest(3, wrong))
		}, 451, "dane", false, tlspolicy.ValidationFailure},
		"… whose records get no answer": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
				r.Authenticated = map[string]bool{"example.net": true, stsHost: true}
				r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true
			})
		}, 451, "dane", false, tlspolicy.DNSSECInvalid},
		"… of which nobody says whether it is authenticated": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
				r.Authenticated = map[string]bool{"example.net": true}
				r.Temp["CNAME "+stsHost] = true
			})
		}, 451, "dane", false, tlspolicy.DNSSECInvalid},
		"an alias that is not authenticated: TLSA is not asked for": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME[stsHost] = "real.example.net"
				r.A["real.example.net"] = []string{"127.0.0.1"}
				r.Authenticated = map[string]bool{"example.net": true, "real.example.net": true, "_" + s.port() + "._tcp." + stsHost: true}
				r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true
				r.Temp["TLSA _"+s.port()+"._tcp.real.example.net"] = true
			})
		}, 250, "opportunistic", true, ""},
		"TLSA is an alias": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				r.CNAME["_"+s.port()+"._tcp."+stsHost] = "_dane.example.net"
				r.TLSA["_dane.example.net"] = []dns.TLSA{keyDigest(3, wrong)}
			})
		}, 451, "dane", false, tlspolicy.ValidationFailure},
		"a domain without MX": {func(s *world) {
			s.dns.Change(func(r *nettest.Records) {
				delete(r.MX, "example.net")
				r.A["example.net"] = []string{"127.0.0.1"}
			})
			s.publish("example.net", keyDigest(3, s.leaf()))
		}, 250, "dane", true, ""},
		"DANE goes before MTA-STS": {func(s *world) {
			s.publish(stsHost, keyDigest(3, wrong))
			s.sts.policy = &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{stsHost}}
		}, 451, "dane", false, tlspolicy.ValidationFailure},
		"… also when that would forbid the host": {func(s *world) {
			s.publish(stsHost, keyDigest(3, s.leaf()))
			s.sts.policy = &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"other.example.net"}}
		}, 250, "dane", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t)
			c.set(s)
			s.want(name, c.code, c.policy, c.verified, c.result)
		})
	}
}

// A mail host whose aliases lead nowhere is not there for now; the next one gets the
// mail, by what its own name says.
func TestAliasLoop(t *testing.T) {
	s := newSecured(t)
	s.dns.Change(func(r *nettest.Records) {
		r.MX["example.net"] = append(r.MX["example.net"], dns.MX{Preference: 5, Host: "loop.example.net"})
		r.CNAME["loop.example.net"], r.CNAME["pool.example.net"] = "pool.example.net", "loop.example.net"
	})
	s.publish(stsHost, keyDigest(3, s.leaf()))
	s.want("another host", 250, "dane", true, "")
	s = newSecured(t)
	s.dns.Change(func(r *nettest.Records) {
		r.CNAME[stsHost], r.CNAME["pool.example.net"] = "pool.example.net", stsHost
	})
	if _, err := s.courier().Resolve(t.Context(), "example.net"); status.Of(err).Code != 451 || status.Of(err).Enhanced.String() != "4.4.4" {
		t.Errorf("no other host: %v", err)
	}
}

// TestAliasOfADomain takes the names of an alias and of its target in a trust
// anchor's certificate (RFC 7672 section 3.2.2).
func TestAliasOfADomain(t *testing.T) {
	s := newSecured(t)
	s.show(s.root.Issue(t, nettest.Leaf{Names: []string{"example.net"}}))
	s.publish(stsHost, keyDigest(2, s.root.Cert))
	s.dns.Change(func(r *nettest.Records) { r.CNAME["alias.example"] = "example.net" })
	o := send(t, s.courier(), hello, "a@alias.example")[0]
	if !o.Sent() || o.TLSPolicy != "dane" {
		t.Errorf("%d %s", o.Code, o.Text)
	}
}

func TestDANEOfRelay(t *testing.T) {
	s := newSecured(t)
	s.show(nettest.SelfSigned(t, nettest.Leaf{}))
	rule, err := ParseRule("*", "smtp://user:pass@mx.example.net:"+s.port())
	if err != nil {
		t.Fatal(err)
	}
	s.peer.ext = append(s.peer.ext, "AUTH PLAIN")
	s.publish(stsHost, keyDigest(3, s.leaf()))
	o := send(t, s.courier(func(o *Options) { o.Routes = []RouteRule{rule} }), hello, "a@anywhere.example")[0]
	if !o.Sent() || !o.Verified || o.TLSPolicy != "dane" {
		t.Errorf("%+v", o)
	}
	if got := s.results[0]; got.Local != netip.MustParseAddr("127.0.0.1") || got.Policy.Domain != stsHost {
		t.Errorf("%+v", got)
	}
}
