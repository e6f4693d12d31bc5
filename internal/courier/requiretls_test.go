package courier

import (
	"strings"
	"testing"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
)

func TestRequireTLS(t *testing.T) {
	insecure := func(s *secured) { s.dns.Change(func(r *nettest.Records) { r.Authenticated = map[string]bool{} }) }
	for name, c := range map[string]struct {
		set      func(*secured)
		code     int
		enhanced string
	}{
		"MX by DNSSEC, certificate by its chain": {nil, 250, "2.0.0"},
		"MX by DNSSEC, certificate by DANE": {func(s *secured) {
			s.show(nettest.SelfSigned(t, nettest.Leaf{}))
			s.publish(stsHost, keyDigest(3, s.leaf()))
		}, 250, "2.0.0"},
		"MX by MTA-STS": {func(s *secured) {
			insecure(s)
			s.sts.policy = &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{stsHost}}
		}, 250, "2.0.0"},
		"MX by anybody": {insecure, 550, "5.7.10"},
		"MTA-STS names another host": {func(s *secured) {
			insecure(s)
			s.sts.policy = &mtasts.Policy{Mode: mtasts.Testing, MX: []string{"mx2.example.net"}}
		}, 550, "5.7.10"},
		"no certificate to trust": {func(s *secured) { s.show(nettest.SelfSigned(t, nettest.Leaf{Names: []string{stsHost}})) }, 550, "5.7.10"},
		"no STARTTLS":             {func(s *secured) { s.peer.tls = nil }, 550, "5.7.10"},
		"a broken handshake":      {func(s *secured) { s.peer.tls, s.peer.badTLS = nil, true }, 550, "5.7.10"},
		"no REQUIRETLS there":     {func(s *secured) { s.peer.ext = []string{"PIPELINING"} }, 550, "5.7.30"},
		"no answer about TLSA comes again": {func(s *secured) {
			s.dns.Change(func(r *nettest.Records) { r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true })
		}, 451, "4.7.5"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t)
			if c.set != nil {
				c.set(s)
			}
			o := transfer(t, s.courier(), &Transfer{RequireTLS: true, Rcpts: rcpts("a@example.net")}, hello)[0]
			if o.Code != c.code || o.Enhanced.String() != c.enhanced || o.Permanent() != (c.code == 550) {
				t.Errorf("%d %s %q, action %s", o.Code, o.Enhanced, o.Text, o.Action)
			}
			if s.peer.tls != nil && o.Enhanced.Detail == 30 || s.peer.tls == nil && !s.peer.badTLS {
				if !strings.HasSuffix(s.peer.commands(), "QUIT") {
					t.Errorf("no QUIT:\n%s", s.peer.commands())
				}
			}
			if passed := strings.Contains(s.peer.commands(), "MAIL FROM:<alice@example.test> REQUIRETLS"); passed != o.Sent() {
				t.Errorf("commands:\n%s", s.peer.commands())
			}
		})
	}
}

// TestRequireTLSTriesEveryHost finds the one host that will do.
func TestRequireTLSTriesEveryHost(t *testing.T) {
	s := newSecured(t)
	newer, old := newPeers(t, "PIPELINING")
	newer.ext = s.peer.ext
	s.peer.ln.Close()
	s.peer = newer
	s.dns.Change(func(r *nettest.Records) {
		r.MX["example.net"] = []dns.MX{{Preference: 5, Host: "old.example.net"}, {Preference: 10, Host: stsHost}}
		r.A["old.example.net"] = []string{"127.0.0.2"}
	})
	s.show(s.root.Issue(t, nettest.Leaf{Names: []string{stsHost, "old.example.net"}}))
	old.tls = s.peer.tls
	old.start()
	o := transfer(t, s.courier(), &Transfer{RequireTLS: true, Rcpts: rcpts("a@example.net")}, hello)[0]
	if !o.Sent() || o.Host != stsHost || !strings.HasSuffix(old.commands(), "QUIT") {
		t.Errorf("%+v\n%s", o, old.commands())
	}
}

// TestRequireTLSWaitsForDeadHosts does not return a message while a host that may
// do is down.
func TestRequireTLSWaitsForDeadHosts(t *testing.T) {
	s := newSecured(t)
	s.peer.ext = nil
	s.dns.Change(func(r *nettest.Records) {
		r.MX["example.net"] = []dns.MX{{Preference: 5, Host: "down.example.net"}, {Preference: 10, Host: stsHost}}
		r.A["down.example.net"] = []string{"127.0.0.9"}
	})
	c := s.courier()
	for range 2 { // the second time it is known to be down
		o := transfer(t, c, &Transfer{RequireTLS: true, Rcpts: rcpts("a@example.net")}, hello)[0]
		if !o.Temporary() {
			t.Errorf("%d %s %q", o.Code, o.Enhanced, o.Text)
		}
	}
}

// TestRequireTLSOfReports sends a report on a message that required TLS, with the
// demand where it can be made and without where not (RFC 8689 section 5).
func TestRequireTLSOfReports(t *testing.T) {
	for _, able := range []bool{true, false} {
		s := newSecured(t)
		if !able {
			s.peer.ext, s.peer.tls = nil, nil
		}
		c := s.courier()
		route, err := c.Resolve(t.Context(), "example.net")
		if err != nil {
			t.Fatal(err)
		}
		outs := c.Deliver(t.Context(), &Transfer{Route: route, RequireTLS: true, Rcpts: rcpts("a@example.net"),
			From: smtp.Address{}, Body: strings.NewReader(hello), Size: int64(len(hello))})
		wantCodes(t, outs, 250)
		if strings.Contains(s.peer.commands(), "MAIL FROM:<> REQUIRETLS") != able {
			t.Errorf("able %v:\n%s", able, s.peer.commands())
		}
	}
}

// TestTLSOptional ignores what recipients' domains publish, and not what the
// operator says (RFC 8689 section 4.2.2).
func TestTLSOptional(t *testing.T) {
	wrong := nettest.NewCA(t, "wrong").Cert
	for name, c := range map[string]struct {
		set  func(*secured)
		code int
		tls  bool
	}{
		"DANE fails":    {func(s *secured) { s.publish(stsHost, keyDigest(3, wrong)) }, 250, true},
		"MTA-STS fails": {func(s *secured) { s.sts.policy = &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"x.example"}} }, 250, true},
		"no TLS": {func(s *secured) {
			s.publish(stsHost, keyDigest(3, wrong))
			s.peer.tls = nil
		}, 250, false},
		"no answer about TLSA": {func(s *secured) {
			s.dns.Change(func(r *nettest.Records) { r.Temp["TLSA _"+s.port()+"._tcp."+stsHost] = true })
		}, 250, true},
		"configured": {func(s *secured) {
			s.rule("*", "encrypt")
			s.peer.tls = nil
		}, 451, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecured(t)
			c.set(s)
			courier := s.courier()
			o := transfer(t, courier, &Transfer{TLSOptional: true, Rcpts: rcpts("a@example.net")}, hello)[0]
			if o.Code != c.code || (o.TLS != "") != c.tls {
				t.Errorf("%d %s %q, TLS %q", o.Code, o.Enhanced, o.Text, o.TLS)
			}
			if len(s.results) != 1 || !s.results[0].Policy.Uncounted {
				t.Errorf("counted: %+v", s.results)
			}
			// The same connection is not good for others.
			if o = send(t, courier, hello, "a@example.net")[0]; o.Sent() {
				t.Errorf("after it: %d %s", o.Code, o.Text)
			}
		})
	}
}

// TestRequireTLSAfterAnAccident does not return a message because a connection
// was lost in the handshake.
func TestRequireTLSAfterAnAccident(t *testing.T) {
	s := newSecured(t)
	s.peer.answers["STARTTLS"] = "hangup"
	o := transfer(t, s.courier(), &Transfer{RequireTLS: true, Rcpts: rcpts("a@example.net")}, hello)[0]
	if !o.Temporary() || len(s.results) != 1 {
		t.Errorf("%d %s %q, %+v", o.Code, o.Enhanced, o.Text, s.results)
	}
}
