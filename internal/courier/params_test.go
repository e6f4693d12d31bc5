package courier

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
)

// wishes is a transfer that uses every extension.
func wishes() *Transfer {
	t := &Transfer{
		From: smtp.Address{Local: "s", Domain: "example.test"}, Ret: "HDRS", EnvID: "a+b",
		DeliverBy: time.Now().Add(time.Hour), ByMode: envelope.ByNotify, ByTrace: true, Priority: -3, Solicit: "net.example:ADV",
		Rcpts: rcpts("a@example.net", "b@example.net"),
	}
	t.Rcpts[0].Notify, t.Rcpts[0].ORcpt = "SUCCESS,DELAY", "rfc822;x=y@example.org"
	t.Rcpts[1].ORcpt = "utf-8;bü@example.org"
	t.Rcpts[1].RRVS, t.Rcpts[1].RRVSContinue = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), true
	return t
}

// params are the parameters of a command that a peer got.
func params(line string) []string {
	_, rest, _ := strings.Cut(line, "> ")
	words := strings.Fields(rest)
	slices.Sort(words)
	return words
}

func TestWishesArePassedOn(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING", "DSN", "DELIVERBY", "MT-PRIORITY MIXER", "RRVS", "NO-SOLICITING org.example:x", "SIZE").start()
	outs := transfer(t, newCourier(t, p), wishes(), hello)
	wantCodes(t, outs, 250, 250)
	if !outs[0].DSN || !outs[0].DeliverBy {
		t.Errorf("%+v", outs[0])
	}
	m := p.received()[0]
	mail := params(m.from)
	if len(mail) != 6 || mail[1] != "ENVID=a+2Bb" || mail[2] != "MT-PRIORITY=-3" || mail[3] != "RET=HDRS" || mail[5] != "SOLICIT=net.example:ADV" {
		t.Errorf("MAIL %q", mail)
	}
	if by, err := smtp.ParseBy(strings.TrimPrefix(mail[0], "BY=")); err != nil || by.Return || !by.Trace || by.In > time.Hour || by.In < time.Minute {
		t.Errorf("%s: %+v, %v", mail[0], by, err)
	}
	if got := params(m.rcpts[0]); !slices.Equal(got, []string{"NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;x+3Dy@example.org"}) {
		t.Errorf("RCPT %q", got)
	}
	if got := params(m.rcpts[1]); !slices.Equal(got, []string{`ORCPT=utf-8;b\x{FC}@example.org`, "RRVS=2026-01-02T03:04:05Z;C"}) {
		t.Errorf("RCPT %q", got)
	}
}

func TestWishesAreKeptFromThoseWhoDoNotKnowThem(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	outs := transfer(t, newCourier(t, p), wishes(), hello)
	wantCodes(t, outs, 250, 250)
	if outs[0].DSN || outs[0].DeliverBy {
		t.Errorf("%+v", outs[0])
	}
	m := p.received()[0]
	if len(params(m.from)) != 0 || len(params(m.rcpts[0])) != 0 || len(params(m.rcpts[1])) != 0 {
		t.Errorf("%+v", m)
	}
}

// Nothing is asked for: only what must be said of every message.
func TestNoWishes(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "DSN", "DELIVERBY", "MT-PRIORITY", "RRVS", "NO-SOLICITING", "BINARYMIME", "CHUNKING", "8BITMIME").start()
	wantCodes(t, send(t, newCourier(t, p), hello, "a@example.net"), 250)
	m := p.received()[0]
	if got := params(m.from); !slices.Equal(got, []string{"MT-PRIORITY=0"}) || len(params(m.rcpts[0])) != 0 {
		t.Errorf("%q %q", m.from, m.rcpts)
	}
}

func TestBinary(t *testing.T) {
	const content = "Subject: x\r\n\r\n\x00\n.\r\n\xff no line end"
	p := newPeer(t, "127.0.0.1:0", "PIPELINING", "8BITMIME", "BINARYMIME", "CHUNKING").start()
	x := &Transfer{Rcpts: rcpts("a@example.net"), Binary: true, EightBit: true, BareLines: true}
	wantCodes(t, transfer(t, newCourier(t, p), x, content), 250)
	if m := p.received()[0]; m.data != content || !strings.Contains(m.from, "BODY=BINARYMIME") {
		t.Errorf("%+v", m)
	}
	// Others get lines; where that cannot be, it is returned.
	for _, ext := range [][]string{{"8BITMIME", "CHUNKING", "PIPELINING", "SIZE"}, {"BINARYMIME", "SIZE"}} {
		q := newPeer(t, "127.0.0.1:0", ext...).start()
		x := &Transfer{Rcpts: rcpts("a@example.net"), Binary: true, EightBit: true, BareLines: true, Prepend: "X: y\r\n"}
		wantCodes(t, transfer(t, newCourier(t, q), x, content), 250)
		const want = "X: y\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nAAouDQr/IG5vIGxpbmUgZW5k\r\n"
		if m := q.received()[0]; m.data != want || strings.Contains(m.from, "BODY=") || !strings.Contains(m.from, fmt.Sprintf("SIZE=%d", len(want))) {
			t.Errorf("%+v", m)
		}
		x.plain, x.plainErr = nil, nil
		outs := transfer(t, newCourier(t, q), x, "Subject: \x00\r\n\r\n")
		wantCodes(t, outs, 554)
		if outs[0].Enhanced.String() != "5.6.3" || len(q.received()) != 1 || !outs[0].Permanent() {
			t.Errorf("%+v", outs[0])
		}
	}
}

// A deadline that the sender insists on is not for a server that would ignore it.
func TestDeadlineToReturn(t *testing.T) {
	for _, tc := range []struct {
		ext  string
		in   time.Duration
		code int
		want string
	}{
		{"DELIVERBY", time.Hour, 250, ""},
		{"DELIVERBY 600", time.Hour, 250, ""},
		{"DELIVERBY 7200", time.Hour, 554, "5.4.7"},
		{"DELIVERBY 7200,more", time.Hour, 554, "5.4.7"},
		{"DELIVERBY 600,more", time.Hour, 250, ""},
		{"DELIVERBY", -time.Second, 554, "5.4.7"},
		{"8BITMIME", time.Hour, 550, "5.3.3"},
	} {
		p := newPeer(t, "127.0.0.1:0", "PIPELINING", tc.ext).start()
		x := &Transfer{Rcpts: rcpts("a@example.net"), DeliverBy: time.Now().Add(tc.in), ByMode: envelope.ByReturn}
		outs := transfer(t, newCourier(t, p), x, hello)
		wantCodes(t, outs, tc.code)
		if tc.want != "" && outs[0].Enhanced.String() != tc.want {
			t.Errorf("%s, in %v: %+v", tc.ext, tc.in, outs[0])
		}
		if tc.code == 250 && !strings.Contains(p.received()[0].from, ";R") {
			t.Errorf("MAIL %q", p.received()[0].from)
		}
	}
}

// A server that does not know a deadline is asked to tell of delays instead.
func TestDeadlineAsNotify(t *testing.T) {
	for _, tc := range []struct {
		ext  string
		in   time.Duration
		want []string // NOTIFY of those that asked for nothing, FAILURE, DELAY and NEVER
	}{
		{"8BITMIME", time.Hour, []string{"FAILURE,DELAY", "FAILURE,DELAY", "DELAY", "NEVER"}},
		{"8BITMIME", -time.Hour, []string{"", "FAILURE", "DELAY", "NEVER"}},
		{"DELIVERBY", time.Hour, []string{"", "FAILURE", "DELAY", "NEVER"}},
	} {
		p := newPeer(t, "127.0.0.1:0", "PIPELINING", "DSN", tc.ext).start()
		x := &Transfer{Rcpts: rcpts("a@example.net", "b@example.net", "c@example.net", "d@example.net"), DeliverBy: time.Now().Add(tc.in), ByMode: envelope.ByNotify}
		for i, notify := range []string{"", "FAILURE", "DELAY", "NEVER"} {
			x.Rcpts[i].Notify = notify
		}
		wantCodes(t, transfer(t, newCourier(t, p), x, hello), 250, 250, 250, 250)
		for i, line := range p.received()[0].rcpts {
			if got := strings.TrimPrefix(strings.Join(params(line), " "), "NOTIFY="); got != tc.want[i] {
				t.Errorf("%s, in %v: %q, want NOTIFY=%s", tc.ext, tc.in, line, tc.want[i])
			}
		}
	}
}

// One recipient's condition touches no other.
func TestOwnerThatCannotBeChecked(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	x := &Transfer{Rcpts: rcpts("a@example.net", "b@example.net")}
	x.Rcpts[0].RRVS = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	outs := transfer(t, newCourier(t, p), x, hello)
	wantCodes(t, outs, 550, 250)
	if outs[0].Enhanced.String() != "5.7.19" {
		t.Errorf("%+v", outs[0])
	}
}

func TestLimitsAreKept(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING", "LIMITS RCPTMAX=2 FOO=x").start()
	outs := send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@example.net", "d@example.net", "e@example.net")
	wantCodes(t, outs, 250, 250, 250, 250, 250)
	if got := p.received(); len(got) != 3 || len(got[0].rcpts) != 2 || p.connections() != 1 {
		t.Errorf("%d connections, %+v", p.connections(), got)
	}
	p = newPeer(t, "127.0.0.1:0", "LIMITS RCPTDOMAINMAX=1").start()
	// Domains are counted over the whole session (RFC 9422 section 4.3).
	domains := newCourier(t, p)
	wantCodes(t, send(t, domains, hello, "a@example.net", "b@y.net", "c@example.net"), 250, 451, 250)
	wantCodes(t, send(t, domains, hello, "d@example.net"), 250)
	if got := p.received(); len(got) != 2 || len(got[0].rcpts) != 2 || p.connections() != 2 {
		t.Errorf("%d connections, %+v", p.connections(), got)
	}
	p = newPeer(t, "127.0.0.1:0", "LIMITS RCPTMAX=1 RCPTDOMAINMAX=1").start()
	wantCodes(t, send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@y.net"), 250, 250, 451)
	if p.connections() != 1 {
		t.Errorf("%d connections", p.connections())
	}
	// What is no limit is none (section 3.7).
	for _, odd := range []string{"RCPTMAX=1;X", "RCPTMAX=01", "RCPTMAX=+1", "RCPTMAX=0", "RCPTMAX=0000001", "RCPTMAX"} {
		p = newPeer(t, "127.0.0.1:0", "LIMITS "+odd).start()
		wantCodes(t, send(t, newCourier(t, p), hello, "a@example.net", "b@example.net"), 250, 250)
		if len(p.received()) != 1 {
			t.Errorf("LIMITS %s: %d messages", odd, len(p.received()))
		}
	}
	// Refused all at first: the others are still asked.
	p = newPeer(t, "127.0.0.1:0", "LIMITS RCPTMAX=1")
	p.rcpt = func(addr string) string {
		if strings.HasPrefix(addr, "<a") {
			return "550 5.1.1 no"
		}
		return "250 ok"
	}
	p.start()
	wantCodes(t, send(t, newCourier(t, p), hello, "a@example.net", "b@example.net"), 550, 250)
	// One message in a session: the second has a connection of its own.
	p = newPeer(t, "127.0.0.1:0", "LIMITS MAILMAX=1 RCPTMAX=1").start()
	c := newCourier(t, p)
	outs = send(t, c, hello, "a@example.net", "b@example.net")
	wantCodes(t, outs, 250, 451)
	if outs[1].Permanent() {
		t.Errorf("%+v", outs[1])
	}
	wantCodes(t, send(t, c, hello, "b@example.net"), 250)
	if p.connections() != 2 {
		t.Errorf("%d connections", p.connections())
	}
}

// What came as a field goes as the parameter where there is one, and as the field
// where there is none (RFC 7293 section 6.1, RFC 6758 section 3.3).
func TestFieldsAndParameters(t *testing.T) {
	const delivered = "Delivered-To: x@y\r\n"
	const owner = envelope.OwnerField + ": a@example.net; Fri, 02 Jan 2026 03:04:05 +0000\r\n"
	for _, s := range []struct {
		ext, rcpt, prepended string
		by                   envelope.PriorityBy
	}{
		{"RRVS", "RRVS=2026-01-02T03:04:05Z;C", delivered, ""},
		{"SIZE", "", delivered + owner, ""},
		{"SIZE", "", "MT-Priority: 4\r\n" + delivered + owner, envelope.PriorityParameter},
		{"MT-PRIORITY", "", delivered + owner, envelope.PriorityParameter},
		{"SIZE", "", delivered + owner, envelope.PriorityField}, // it is in the message
	} {
		p := newPeer(t, "127.0.0.1:0", s.ext, "PIPELINING").start()
		x := &Transfer{Rcpts: rcpts("a@example.net"), Prepend: delivered + owner, Priority: 4, PriorityBy: s.by}
		x.Rcpts[0].RRVS, x.Rcpts[0].RRVSContinue = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), true
		wantCodes(t, transfer(t, newCourier(t, p), x, hello), 250)
		m := p.received()[0]
		if got := strings.Join(params(m.rcpts[0]), " "); got != s.rcpt || m.data != s.prepended+hello {
			t.Errorf("%s, priority by %q: RCPT %q, %q", s.ext, s.by, got, m.data)
		}
		if size := fmt.Sprintf("SIZE=%d", len(s.prepended+hello)); s.ext == "SIZE" && !strings.Contains(m.from, size) {
			t.Errorf("%s, want %s", m.from, size)
		}
	}
}
