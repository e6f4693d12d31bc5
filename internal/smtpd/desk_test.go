package smtpd

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
)

func TestLookups(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Mode: Submission, AllowPlaintextAuth: true, Desk: h}, h)
	p := dial(t, addr)
	// Strangers are told nothing.
	if r := p.do("EHLO x", "250"); strings.Contains(r, "VRFY") || strings.Contains(r, "EXPN") {
		t.Errorf("offered to a stranger: %q", r)
	}
	for _, s := range []step{
		{"VRFY alice@example.test", "252 2.0.0"}, {"VRFY nobody@example.test", "252 2.0.0"}, {"VRFY", "501 5.5.4"}, {"VRFY a b", "501 5.5.4"},
		{"EXPN staff@example.test", "550 5.7.1"}, {"EXPN nobody", "550 5.7.1"},
	} {
		p.do(s.say, s.want)
	}
	p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "235")
	if r := p.do("EHLO x", "250"); !strings.Contains(r, "250-VRFY\r\n") || !strings.Contains(r, "EXPN\r\n") {
		t.Errorf("offered to alice: %q", r)
	}
	for _, s := range []step{
		{"VRFY alice", "250 2.1.5 <alice@example.test>\r\n"}, {"vrfy <alice@example.test>", "250 2.1.5 <alice@example.test>\r\n"},
		{"VRFY away", "251 2.1.5 User not local; will forward to <me@remote.test>\r\n"}, {"VRFY a@other.test", "252 2.0.0"}, {"VRFY nobody", "550 5.1.1"}, {"VRFY busy", "451 4.3.0"},
		{"VRFY grün", "252 2.6.8"}, {"VRFY grün SMTPUTF8", "250 2.1.5 <grün@example.test>\r\n"}, {"VRFY alice SMTPUTF8", "250 2.1.5"}, {"VRFY alice SMTPUTF8=1", "501 5.5.4"},
		{"EXPN", "501 5.5.4"}, {"EXPN a@b c", "501 5.5.4"}, {"EXPN staff", "250-2.1.5 <alice@example.test>\r\n250 2.1.5 <\"two words\"@example.test>\r\n"},
		{"EXPN nobody", "550 5.1.1"}, {"EXPN alle", "550 5.6.8"}, {"EXPN alle smtputf8", "250 2.1.5 <grün@example.test>\r\n"}, {"EXPN everybody", "550 5.2.4"},
	} {
		p.do(s.say, s.want)
	}
	// They do not disturb a transaction (RFC 5321 section 4.1.4).
	p.do("MAIL FROM:<alice@example.test>", "250")
	p.do("VRFY alice", "250")
	p.do("EXPN staff", "250")
	p.do("RCPT TO:<bob@example.test>", "250")
}

func TestETRN(t *testing.T) {
	h := &house{}
	now := clock.NewFake(noon)
	_, addr := serve(t, Config{Desk: h, ETRN: []string{"example.net", "empty.test", "broken.test", "xn--bcher-kva.example"}, Clock: now}, h)
	p := dial(t, addr)
	p.do("ETRN example.net", "503 5.5.1")
	if r := p.do("EHLO x", "250"); !strings.Contains(r, "ETRN\r\n") {
		t.Errorf("not offered: %q", r)
	}
	for _, s := range []step{
		{"ETRN", "501 5.5.4"}, {"ETRN @", "501 5.5.4"}, {"ETRN a b", "501 5.5.4"}, {"ETRN -x.test", "501 5.5.4"}, {"ETRN #uucp", "458 4.5.4"},
		{"ETRN other.test", "459 4.7.1"}, {"ETRN @net", "459 4.7.1"}, {"ETRN badexample.net", "459 4.7.1"},
		{"ETRN Example.NET", "253 2.0.0 14 pending messages for node example.net"}, {"ETRN example.net", "250 2.0.0"},
		{"ETRN @example.net", "250 2.0.0"}, {"ETRN @sub.example.net", "253 2.0.0 14"}, {"ETRN sub.example.net", "250 2.0.0"}, {"ETRN @example.net", "250 2.0.0"}, {"ETRN x.sub.example.net", "253 2.0.0 14"}, {"ETRN bücher.example", "253 2.0.0"},
		{"ETRN empty.test", "251 2.0.0"}, {"ETRN broken.test", "458 4.3.0"},
		{"MAIL FROM:<a@b.test>", "250"}, {"ETRN example.net", "503 5.5.1"}, {"RSET", "250"},
	} {
		p.do(s.say, s.want)
	}
	now.Advance(time.Minute)
	p.do("ETRN example.net", "253")
	want := []string{"example.net", "@sub.example.net", "x.sub.example.net", "xn--bcher-kva.example", "empty.test", "broken.test", "example.net"}
	if !slices.Equal(h.queues, want) {
		t.Errorf("started %q, want %q", h.queues, want)
	}
}

func TestETRNFlood(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Desk: h, ETRN: []string{"example.net"}, Clock: clock.NewFake(noon), Trusted: loopback}, h)
	p := dial(t, addr)
	p.do("EHLO x", "250")
	for i := range 2 * maxETRN {
		p.do("ETRN a"+strings.Repeat("b", i%50)+strings.Repeat(".c", i/50)+".example.net", "25")
	}
	if len(h.queues) != maxETRN {
		t.Errorf("%d starts in a minute, want %d", len(h.queues), maxETRN)
	}
}

func TestETRNIsForTheMXDoor(t *testing.T) {
	for _, mode := range []Mode{Submission, LMTP} {
		h := &house{}
		_, addr := serve(t, Config{Mode: mode, Desk: h, ETRN: []string{"example.net"}}, h)
		p := dial(t, addr)
		if r := p.do(map[Mode]string{Submission: "EHLO x", LMTP: "LHLO x"}[mode], "250"); strings.Contains(r, "ETRN") {
			t.Errorf("offered: %q", r)
		}
		p.do("ETRN example.net", "459 4.7.1")
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestXCLIENT(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Desk: h, XClient: loopback}, h)
	p := dial(t, addr)
	if r := p.do("EHLO proxy.test", "250"); !strings.Contains(r, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n") {
		t.Errorf("not offered: %q", r)
	}
	for _, s := range []step{
		{"XCLIENT", "501 5.5.4"}, {"XCLIENT ADDR", "501 5.5.4"}, {"XCLIENT FOO=1", "501 5.5.4"}, {"XCLIENT LOGIN=mallory", "501 5.5.4"},
		{"XCLIENT NAME=client.test ADDR=192.0.2.7 PORT=4711", "220 mx.example.test ESMTP"},
		{"MAIL FROM:<a@b.test>", "503 5.5.1"}, // as after a greeting
		{"XCLIENT PROTO=ESMTP HELO=real.test LOGIN=alice@example.test DESTADDR=192.0.2.1 DESTPORT=25", "220 "},
		{"MAIL FROM:<a@b.test>", "250"}, {"XCLIENT ADDR=192.0.2.8", "503 5.5.1"},
		{"RCPT TO:<bob@example.test>", "250"}, {"BDAT 0 LAST", "250"},
	} {
		p.do(s.say, s.want)
	}
	o := only(t, h).env.Origin
	if o.Remote != netip.MustParseAddrPort("192.0.2.7:4711") || o.Name != "client.test" || o.Helo != "real.test" || o.Account != 7 || o.Login != "alice@example.test" || o.Protocol != "ESMTPA" {
		t.Errorf("origin %+v", o)
	}
	p.do("XCLIENT LOGIN=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", "220")
	p.do("EHLO other.test", "250")
	p.do("MAIL FROM:<a@b.test>", "250")
	p.do("RCPT TO:<bob@example.test>", "250")
	p.do("BDAT 0 LAST", "250")
	o = h.all()[1].env.Origin
	if o.Remote.Addr().IsValid() || o.Name != "" || o.Helo != "other.test" || o.Account != 0 || o.Protocol != "ESMTP" {
		t.Errorf("origin %+v", o)
	}
}

// TestXCLIENTTrust: what a client may do follows from its own address, and who
// may say XCLIENT from the peer's.
func TestXCLIENTTrust(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Mode: Submission, Desk: h, XClient: loopback, Trusted: loopback, AllowPlaintextAuth: true, Limits: Limits{Errors: 2}}, h)
	p := dial(t, addr)
	if r := p.do("EHLO proxy.test", "250"); !strings.Contains(r, "AUTH ") {
		t.Errorf("no login from loopback: %q", r)
	}
	p.do("XCLIENT ADDR=192.0.2.7", "220")
	if r := p.do("EHLO client.test", "250"); strings.Contains(r, "AUTH ") {
		t.Errorf("login in the clear from afar: %q", r)
	}
	p.do("XCLIENT ADDR=192.0.2.8", "220") // the proxy may still
	for range 3 {
		p.do("FOO", "500")
	}
	p.do("NOOP", "421 4.7.0") // not trusted any more
	p.closed()
}

// What one client did is not held against the next.
func TestXCLIENTBeginsAnew(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Desk: h, XClient: loopback, Limits: Limits{Errors: 4, Unknown: 2, Messages: 1}}, h)
	p := dial(t, addr)
	for range 3 {
		p.do("XCLIENT ADDR=192.0.2.7", "220")
		p.do("EHLO client.test", "250")
		for range 2 {
			p.do("FOO", "500")
			p.do("RCPT TO:<bob@example.test>", "503")
		}
		p.do("MAIL FROM:<a@b.test>", "250")
		p.do("RCPT TO:<bob@example.test>", "250")
		p.do("BDAT 0 LAST", "250")
		for range 3 {
			p.do("RCPT TO:<bob@example.test>", "503")
		}
	}
	p.do("MAIL FROM:<a@b.test>", "421 4.7.0") // one client's second
	p.closed()
}

func TestXCLIENTIsForListedPeers(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Desk: h, XClient: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, h)
	p := dial(t, addr)
	if r := p.do("EHLO x", "250"); strings.Contains(r, "XCLIENT") {
		t.Errorf("offered: %q", r)
	}
	p.do("XCLIENT ADDR=192.0.2.7", "550 5.7.0")
}
