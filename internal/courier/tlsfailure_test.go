package courier

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/nettest"
)

// A server whose TLS does not work gets the mail in clear, where nobody asked
// for TLS; one that mail is handed to with a password never does.
func TestTLSFailures(t *testing.T) {
	certificate := selfSigned(t)
	with := func(change func(*tls.Config)) *tls.Config {
		cfg := certificate.Clone()
		change(cfg)
		return cfg
	}
	for name, cfg := range map[string]*tls.Config{
		"alert: old version":          with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }),
		"alert: our certificate":      with(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
		"alert: our certificate, 1.2": with(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert; c.MaxVersion = tls.VersionTLS12 }),
		"no certificate":              {},
		"stall": with(func(c *tls.Config) {
			c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				_, err := h.Conn.(*net.TCPConn).Read(make([]byte, 1)) // until the client has enough
				return nil, err
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, "127.0.0.1:0", "PIPELINING", "AUTH PLAIN")
			p.tls = cfg
			p.start()
			impatient := func(o *Options) {
				if name == "stall" {
					o.Timeouts.TLS = 100 * time.Millisecond
				}
			}
			o := send(t, newCourier(t, p, impatient), hello, "a@example.net")[0]
			if !o.Sent() || o.TLS != "" || p.connections() != 2 {
				t.Errorf("%d %s, %q after %d calls", o.Code, o.Text, o.TLS, p.connections())
			}
			via := fmt.Sprintf("smtp://user:pass@peer:%d", p.addr().Port())
			relay := relayTo(t, p, via, impatient, func(o *Options) {
				o.Resolver = &fakeDNS{ip: map[string][]netip.Addr{"peer": {p.addr().Addr()}}}
			})
			o = send(t, relay, hello, "a@anywhere.example")[0]
			if !o.Temporary() || o.Class != classify.TLS || strings.Contains(p.commands(), "AUTH ") || len(p.received()) != 1 {
				t.Errorf("to a relay: %d %s %+v", o.Code, o.Text, o.Verdict)
			}
		})
	}
}

// An expired certificate is as good as any to encrypt with, and no proof.
func TestExpiredCertificate(t *testing.T) {
	past := nettest.Leaf{Names: []string{"127.0.0.1", "mx.example.net"}, NotAfter: time.Now().Add(-time.Minute)}
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.tls = &tls.Config{Certificates: []tls.Certificate{nettest.SelfSigned(t, past)}}
	p.start()
	o := send(t, newCourier(t, p), hello, "a@example.net")[0]
	if !o.Sent() || o.TLS == "" {
		t.Errorf("%+v", o)
	}
}
