package smtpd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/envelope"
)

// noon is where the clocks of these tests stand.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// login takes a peer to a submission door through EHLO and AUTH.
func (p *peer) login() {
	p.t.Helper()
	p.do("EHLO client.test", "250")
	p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "235")
}

// offer begins and ends a transaction whose MAIL has params, and tells what
// envelope it made.
func (p *peer) offer(h *house, params, want string) envelope.Envelope {
	p.t.Helper()
	p.do("MAIL FROM:<alice@example.test> "+params, want)
	p.do("RCPT TO:<bob@example.test>", "250")
	p.do("BDAT 0 LAST", "250")
	all := h.all()
	return all[len(all)-1].env
}

// refuses checks that none of params is taken.
func (p *peer) refuses(want string, params ...string) {
	p.t.Helper()
	for _, param := range params {
		p.do("MAIL FROM:<alice@example.test> "+param, want)
	}
}

func submission(t *testing.T) (*peer, *house) {
	h := &house{}
	_, addr := serve(t, Config{Mode: Submission, Door: "submission", AllowPlaintextAuth: true, Clock: clock.NewFake(noon)}, h)
	p := dial(t, addr)
	p.login()
	return p, h
}

func TestFutureRelease(t *testing.T) {
	p, h := submission(t)
	p.refuses("501 5.5.4", "HOLDFOR", "HOLDFOR=0", "HOLDFOR=-5", "HOLDFOR=5m", "HOLDFOR=604801", "HOLDUNTIL", "HOLDUNTIL=tomorrow", "HOLDUNTIL=2026-03-08T12:00:01Z",
		"HOLDFOR=60 HOLDUNTIL=2026-03-02T00:00:00Z", "HOLDFOR=60 HOLDFOR=60", "HOLDFOR=60 BY=30;R", "BY=30;R HOLDFOR=60", "HOLDFOR=60 BY=30;N", "BY=-5;N HOLDFOR=60")
	for params, want := range map[string]time.Time{
		"HOLDFOR=3600":                           noon.Add(time.Hour),
		"HOLDFOR=604800":                         noon.Add(7 * 24 * time.Hour),
		"holduntil=2026-03-02T09:00:00Z":         noon.Add(21 * time.Hour),
		"HOLDUNTIL=2026-03-02T10:00:00+01:00":    noon.Add(21 * time.Hour),
		"HOLDUNTIL=2026-03-01T11:59:59Z":         noon.Add(-time.Second),
		"HOLDFOR=60 BY=120;R":                    noon.Add(time.Minute),
		"HOLDFOR=60 BY=60;N":                     noon.Add(time.Minute),
		"HOLDUNTIL=2026-03-01T11:59:59Z BY=-9;N": noon.Add(-time.Second),
		"SIZE=5 HOLDFOR=7 ENVID=x MT-PRIORITY=3": noon.Add(7 * time.Second),
	} {
		if env := p.offer(h, params, "250 2.1.0"); !env.HoldUntil.Equal(want) {
			t.Errorf("%s: held until %v, want %v", params, env.HoldUntil, want)
		}
	}
	// What was asked for is kept for reports (RFC 4865 section 5.1.2).
	for params, want := range map[string]string{"HOLDFOR=60": "for;60", "HOLDUNTIL=2026-03-02t09:00:00z": "until;2026-03-02T09:00:00Z"} {
		if env := p.offer(h, params, "250 2.1.0"); env.HoldRequest != want {
			t.Errorf("%s: asked for %q, want %q", params, env.HoldRequest, want)
		}
	}
}

func TestFutureReleaseIsForOurPeople(t *testing.T) {
	for _, cfg := range []Config{{Mode: MX}, {Mode: LMTP}, {Mode: Submission, AllowPlaintextAuth: true, Limits: Limits{FutureRelease: -1}}} {
		_, addr := serve(t, cfg, &house{})
		p := dial(t, addr)
		if cfg.Mode == Submission {
			p.login()
		} else {
			p.do(map[Mode]string{MX: "EHLO x", LMTP: "LHLO x"}[cfg.Mode], "250")
		}
		p.refuses("555 5.5.4", "HOLDFOR=60", "HOLDUNTIL=2026-03-02T09:00:00Z")
	}
}

func TestDeliverBy(t *testing.T) {
	p, h := submission(t)
	p.refuses("501 5.5.4", "BY", "BY=60", "BY=60;", "BY=60;X", "BY=60;T", "BY=0;R", "BY=-1;R", "BY=1234567890;N", "BY=60;N BY=60;N")
	for params, want := range map[string]envelope.Envelope{
		"BY=120;R": {DeliverBy: noon.Add(2 * time.Minute), ByMode: envelope.ByReturn},
		"by=60;nt": {DeliverBy: noon.Add(time.Minute), ByMode: envelope.ByNotify, ByTrace: true},
		"BY=-60;N": {DeliverBy: noon.Add(-time.Minute), ByMode: envelope.ByNotify},
		"RET=HDRS": {},
		"BY=+5;RT": {DeliverBy: noon.Add(5 * time.Second), ByMode: envelope.ByReturn, ByTrace: true},
	} {
		env := p.offer(h, params, "250 2.1.0")
		if !env.DeliverBy.Equal(want.DeliverBy) || env.ByMode != want.ByMode || env.ByTrace != want.ByTrace {
			t.Errorf("%s: %v %q %v", params, env.DeliverBy, env.ByMode, env.ByTrace)
		}
	}
}

// Whom a client vouches for is read and left at that (RFC 4954 section 5).
func TestAuthOfMail(t *testing.T) {
	p, h := submission(t)
	p.refuses("501 5.5.4", "AUTH", "AUTH=alice", "AUTH=alice@", "AUTH=a+3@example.test", "AUTH=+3C>x", "AUTH=<> AUTH=<>")
	for _, params := range []string{"AUTH=<>", "auth=e+3Dmc2@example.test", "AUTH=alice@[192.0.2.1]"} {
		if env := p.offer(h, params, "250 2.1.0"); env.Origin.Login != "alice@example.test" {
			t.Errorf("%s: %+v", params, env.Origin)
		}
	}
}

func TestPriority(t *testing.T) {
	p, h := submission(t)
	p.refuses("501 5.5.4", "MT-PRIORITY", "MT-PRIORITY=10", "MT-PRIORITY=+1", "MT-PRIORITY=-0", "MT-PRIORITY=high", "MT-PRIORITY=1 MT-PRIORITY=1")
	for n := -9; n <= 9; n++ {
		if env := p.offer(h, fmt.Sprint("MT-PRIORITY=", n), "250 2.1.0 Sender ok"); env.Priority != n {
			t.Errorf("priority %d became %d", n, env.Priority)
		}
	}
	// Strangers may lower their priority, not raise it.
	h = &house{}
	_, addr := serve(t, Config{}, h)
	p = dial(t, addr)
	p.do("EHLO x", "250")
	if env := p.offer(h, "MT-PRIORITY=4", "250 2.3.6 0 "); env.Priority != 0 {
		t.Errorf("a stranger's priority is %d", env.Priority)
	}
	if env := p.offer(h, "MT-PRIORITY=-4", "250 2.1.0"); env.Priority != -4 {
		t.Errorf("a stranger's priority is %d", env.Priority)
	}
	h = &house{}
	_, addr = serve(t, Config{Mode: LMTP}, h)
	p = dial(t, addr)
	p.do("LHLO x", "250")
	if env := p.offer(h, "MT-PRIORITY=4", "250 2.1.0"); env.Priority != 4 {
		t.Errorf("a neighbour's priority is %d", env.Priority)
	}
}

func TestRequireTLS(t *testing.T) {
	srvTLS, cliTLS := certificate(t)
	h := &house{}
	_, addr := serve(t, Config{TLS: srvTLS}, h)
	p := dial(t, addr)
	if r := p.do("EHLO x", "250"); strings.Contains(r, "REQUIRETLS") {
		t.Errorf("offered in the clear: %q", r)
	}
	p.refuses("530 5.7.10", "REQUIRETLS")
	if env := p.offer(h, "", "250"); env.RequireTLS {
		t.Error("tagged without the parameter")
	}
	p.startTLS(cliTLS)
	p.do("HELO x", "250")
	p.refuses("555 5.5.4", "REQUIRETLS")
	p.do("EHLO x", "250")
	p.refuses("501 5.5.4", "REQUIRETLS=yes", "REQUIRETLS REQUIRETLS")
	if env := p.offer(h, "REQUIRETLS", "250 2.1.0"); !env.RequireTLS {
		t.Error("not tagged")
	}
}

func TestBinaryMIME(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("MAIL FROM:<a@b.test> BODY=binarymime", "250")
	p.do("DATA", "503 5.5.1")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.do("DATA", "503 5.5.1")
	body := "\x00\r\n.\r\n\n\r" + strings.Repeat("\xff", 3000)
	p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
	p.want("250 2.0.0 Ok")
	if m := only(t, h); m.env.Body != envelope.BodyBinary || string(m.body) != body {
		t.Errorf("%s, %d octets", m.env.Body, len(m.body))
	}
	p.do("MAIL FROM:<a@b.test> BODY=BINARYMIME", "250")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.do("DATA", "503 5.5.1")
	p.do("RSET", "250")
	p.do("MAIL FROM:<a@b.test> BODY=8BITMIME", "250")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.do("DATA", "354")
	p.do("x\r\n.", "250")
}

func TestRRVS(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("MAIL FROM:<a@b.test> RRVS=2014-04-03T23:01:00Z", "555 5.5.4")
	p.do("MAIL FROM:<a@b.test>", "250")
	for _, bad := range []string{"RRVS", "RRVS=2014", "RRVS=2014-04-03T23:01:00Z;X", "RRVS=2014-04-03T23:01:00Z;", "RRVS=2014-04-03T23:01:00Z RRVS=2014-04-03T23:01:00Z"} {
		p.do("RCPT TO:<alice@example.test> "+bad, "501 5.5.4")
	}
	p.do("RCPT TO:<alice@example.test> RRVS=2014-04-03T23:01:00Z;C", "250")
	p.do("RCPT TO:<bob@example.test> RRVS=2014-04-03T23:01:00Z", "250")
	p.do("BDAT 0 LAST", "250")
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	for i, r := range only(t, h).env.Rcpts {
		if !r.RRVS.Equal(since) || r.RRVSContinue != (i == 0) {
			t.Errorf("recipient %d: %v %v", i, r.RRVS, r.RRVSContinue)
		}
	}
}

func TestSolicit(t *testing.T) {
	for mode, keyword := range map[Mode]string{MX: "NO-SOLICITING net.example:ADV,x\r\n", Submission: "NO-SOLICITING\r\n"} {
		h := &house{}
		_, addr := serve(t, Config{Mode: mode, AllowPlaintextAuth: true, NoSoliciting: []string{"net.example:ADV", "x"}}, h)
		p := dial(t, addr)
		if got := p.do("EHLO client.test", "250"); !strings.Contains(got, keyword) {
			t.Errorf("%q", got)
		}
		if mode == Submission {
			p.login()
		}
		p.refuses("501 5.5.4", "SOLICIT", "SOLICIT=", "SOLICIT=a,,b", "SOLICIT=9", "SOLICIT=a SOLICIT=b", "SOLICIT="+strings.Repeat("x", 1001))
		longest := strings.Repeat("x", 1000)
		for params, want := range map[string]string{
			"": "", "SOLICIT=org.example:ADV:ADLT,x": "org.example:ADV:ADLT,x",
			// All that a MAIL may bring besides.
			"SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS BY=120;R MT-PRIORITY=-3 ENVID=" + strings.Repeat("e", 100) + " AUTH=" + strings.Repeat("+61", 64) + "@example.test SOLICIT=" + longest: longest,
		} {
			if mode == MX && strings.Contains(params, "AUTH=") {
				continue
			}
			if env := p.offer(h, params, "250 2."); env.Solicit != want {
				t.Errorf("%s: %q, want %q", params, env.Solicit, want)
			}
		}
	}
}

// A least time binds those who insist, and is announced (RFC 2852 sections 2 to 4).
func TestDeliverByLeast(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Mode: MX, Clock: clock.NewFake(noon), Limits: Limits{DeliverBy: 10 * time.Minute}}, h)
	p := dial(t, addr)
	if got := p.do("EHLO client.test", "250"); !strings.Contains(got, "DELIVERBY 600\r\n") {
		t.Errorf("%q", got)
	}
	p.refuses("555 5.5.4", "BY=599;R", "BY=1;RT")
	p.refuses("501 5.5.4", "BY=0;R", "BY=-600;R")
	for _, params := range []string{"BY=600;R", "BY=601;RT", "BY=1;N", "BY=-5;N"} {
		p.offer(h, params, "250 2.1.0")
	}
}
