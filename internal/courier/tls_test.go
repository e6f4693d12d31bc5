package courier

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
)

func TestOpportunisticTLS(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.tls = selfSigned(t)
	p.start()
	outs := send(t, newCourier(t, p), hello, "a@example.net")
	wantCodes(t, outs, 250)
	if !strings.HasPrefix(outs[0].TLS, "TLS1.3 TLS_") || !p.received()[0].tls {
		t.Errorf("%+v", outs[0])
	}
	var names []string
	for _, s := range outs[0].Steps {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "dns connect greeting tls greeting commands transfer" {
		t.Errorf("steps %q", got)
	}
}

// What TLS itself sends in between, such as tickets, does not end a connection.
func TestTLSConnectionIsKept(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.tls = selfSigned(t)
	p.start()
	c := newCourier(t, p)
	for range 3 {
		wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	}
	if len(p.received()) != 3 || p.connections() != 1 {
		t.Errorf("%d messages over %d connections", len(p.received()), p.connections())
	}
}

func TestHandshakeFailsThenClear(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.badTLS = true
	p.start()
	c := newCourier(t, p, func(o *Options) { o.Idle = -1 })
	for range 2 {
		outs := send(t, c, hello, "a@example.net")
		wantCodes(t, outs, 250)
		if outs[0].TLS != "" {
			t.Errorf("%+v", outs[0])
		}
	}
	if n := p.connections(); n != 3 { // the failure is remembered
		t.Errorf("%d connections", n)
	}
}

func relayTo(t *testing.T, p *peer, via string, change ...func(*Options)) *Courier {
	t.Helper()
	rule, err := ParseRule("*", strings.ReplaceAll(via, "ADDR", p.addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	return newCourier(t, nil, append(change, func(o *Options) {
		o.Routes = []RouteRule{rule}
		if o.Resolver == nil {
			o.Resolver = &fakeDNS{}
		}
	})...)
}

func TestRelayWithLogin(t *testing.T) {
	for _, auth := range []string{"AUTH PLAIN LOGIN", "AUTH LOGIN"} {
		p := newPeer(t, "127.0.0.1:0", auth)
		p.tls = selfSigned(t)
		p.start()
		outs := send(t, relayTo(t, p, "smtp://user:pass@ADDR"), hello, "a@anywhere.example")
		wantCodes(t, outs, 250)
		want := "AUTH PLAIN AHVzZXIAcGFzcw=="
		if auth == "AUTH LOGIN" {
			want = "AUTH LOGIN\ndXNlcg==\ncGFzcw=="
		}
		if !p.received()[0].tls || !strings.Contains(p.commands(), want) {
			t.Errorf("%s", p.commands())
		}
		if from := p.received()[0].from; !strings.HasSuffix(from, " AUTH=<>") { // RFC 4954 section 5
			t.Errorf("MAIL %q", from)
		}
	}
}

func TestPasswordOnlyOverTrustedTLS(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "AUTH PLAIN")
	cfg := selfSigned(t)
	p.tls = cfg
	p.start()
	resolver := &fakeDNS{ip: map[string][]netip.Addr{"peer": {p.addr().Addr()}}}
	via := strings.Replace("smtp://user:pass@peer:PORT", "PORT", strings.TrimPrefix(p.addr().String(), "127.0.0.1:"), 1)
	outs := send(t, relayTo(t, p, via, func(o *Options) { o.Resolver = resolver }), hello, "a@anywhere.example")
	if !outs[0].Temporary() || !strings.Contains(outs[0].Text, "not trusted") || strings.Contains(p.commands(), "AUTH") {
		t.Errorf("%+v\n%s", outs[0], p.commands())
	}
	cert, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	outs = send(t, relayTo(t, p, via, func(o *Options) { o.Resolver = resolver; o.TLS = &tls.Config{RootCAs: pool} }), hello, "a@anywhere.example")
	wantCodes(t, outs, 250)
}

func TestImplicitTLSRelay(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0")
	p.ln = tls.NewListener(p.ln, selfSigned(t))
	p.start()
	outs := send(t, relayTo(t, p, "smtps://ADDR"), hello, "a@anywhere.example")
	wantCodes(t, outs, 250)
	if outs[0].TLS == "" {
		t.Errorf("%+v", outs[0])
	}
}
