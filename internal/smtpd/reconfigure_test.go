package smtpd

import (
	"net"
	"net/netip"
	"testing"
)

// Who is there keeps what was; who comes gets what is.
func TestReconfigure(t *testing.T) {
	srv, addr := serve(t, Config{Limits: Limits{Errors: 2, Connections: 2}}, &house{})
	refused := func(want string) {
		t.Helper()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		newPeer(t, conn).want(want)
	}
	before := dial(t, addr)
	dial(t, addr)
	refused("421 4.7.0 Too many connections, try")

	srv.Reconfigure(Config{Hostname: "mx.example.test", Mode: LMTP, Limits: Limits{Errors: 1, Connections: 3}})
	after := dial(t, addr)
	refused("421 4.7.0 Too many connections, try")
	for _, p := range []*peer{before, after} {
		p.do("EHLO x", "250") // still no LMTP
		p.do("RSET x", "501")
	}
	after.do("RSET x", "501")
	after.do("RSET x", "421 4.7.0")
	before.do("RSET x", "501")
	before.do("RSET x", "501")
	before.do("RSET x", "421 4.7.0")

	srv.Reconfigure(Config{Hostname: "mx.example.test", Limits: Limits{Connections: 1}, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	dial(t, addr)
	dial(t, addr)
}
