package intake

import (
	"strings"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/smtpd"
)

// submission is an envelope of alice's.
func (h *house) submission(to ...string) *envelope.Envelope {
	h.t.Helper()
	a, err := h.directory.Account(h.t.Context(), addr("alice@example.test"))
	h.must(err)
	env := &envelope.Envelope{From: addr("alice@example.test"), Origin: envelope.Origin{Door: "submission", Account: a.ID}}
	for _, s := range to {
		env.Rcpts = append(env.Rcpts, envelope.Rcpt{To: addr(s)})
	}
	return env
}

const complete = "From: <alice@example.test>\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <m@x>\r\n"

// The condition that came as a field is judged here for those who are here, goes
// on for those who are not, and stays in nobody's message (RFC 7293 sections 5.2
// and 6.1).
func TestOwnerFieldGoesNoFurther(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test")
	h.alias("far@example.test", "x@far.example")
	text := complete + "Require-Recipient-Valid-Since: bob@example.test;\r\n Mon, 2 Mar 2026 10:00:00 +0000\r\n" +
		"REQUIRE-recipient-valid-since: (her) dora@else.example; Thu, 1 Jan 2026 10:00:00 +0100\r\n" +
		"Require-Recipient-Valid-Since: far@example.test; Mon, 2 Mar 2026 10:00:00 +0000\r\n" +
		"Require-Recipient-Valid-Since: of nobody\r\nSubject: hello\r\n\r\nRequire-Recipient-Valid-Since: in the text\r\n"
	env := h.submission("bob@example.test", "dora@else.example", "far@example.test", "eve@else.example", "carl@else.example")
	param := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	env.Rcpts[4].RRVS = param
	h.must(h.take(env, text))
	const kept = complete + "Subject: hello\r\n\r\nRequire-Recipient-Valid-Since: in the text\r\n"
	if got := string(h.inbox("bob@example.test")[0]); !strings.HasSuffix(got, "+0000\r\n"+kept) {
		t.Errorf("bob has %q", got)
	}
	m := h.queued()[0]
	if got := string(h.text(m)); !strings.HasSuffix(got, "+0000\r\n"+kept) {
		t.Errorf("on the way %q", got)
	}
	const field = "Require-Recipient-Valid-Since: dora@else.example; Thu, 01 Jan 2026 10:00:00 +0100\r\n"
	want := map[string]struct {
		prepend string
		since   time.Time
		goOn    bool
	}{
		"dora@else.example": {field, time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC), true},
		"x@far.example":     {prepend: "Delivered-To: far@example.test\r\n"},
		"eve@else.example":  {},
		"carl@else.example": {since: param},
	}
	for _, r := range m.Rcpts {
		if w := want[r.To.String()]; r.Prepend != w.prepend || !r.RRVS.Equal(w.since) || r.RRVSContinue != w.goOn {
			t.Errorf("%s: %+v", r.To, r)
		}
	}
	if len(m.Rcpts) != len(want) {
		t.Errorf("%+v", m.Rcpts)
	}
}

// Priorities that came as a field: whose count, what goes on, and what the trace
// says (RFC 6758).
func TestPriorityField(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.alias("far@example.test", "x@far.example")
	const bare = "Subject: x\r\n\r\nMT-Priority: 1\r\n"
	for _, s := range []struct {
		name   string
		fields string
		param  string // MT-PRIORITY of MAIL
		own    bool   // alice's, not a stranger's to an alias
		want   int
		by     envelope.PriorityBy
		sent   string // of the fields, to other hosts
	}{
		{name: "nothing", own: true},
		{name: "our own people's", fields: "MT-Priority: 3\r\n", own: true, want: 3, by: "field", sent: "MT-Priority: 3\r\n"},
		{name: "with comments", fields: "mt-priority: (very) -4\r\n (low)\r\n", own: true, want: -4, by: "field", sent: "mt-priority: (very) -4\r\n (low)\r\n"},
		{name: "no number", fields: "MT-Priority: high\r\n", own: true, by: "field", sent: "MT-Priority: 0\r\n"},
		{name: "out of range", fields: "MT-Priority: 10\r\n", own: true, by: "field", sent: "MT-Priority: 0\r\n"},
		{name: "two", fields: "MT-Priority: 3\r\nX: y\r\nMT-Priority: 3\r\n", own: true, by: "field", sent: "MT-Priority: 0\r\nX: y\r\n"},
		{name: "a parameter", param: "5", own: true, want: 5, by: "parameter"},
		{name: "a parameter before the field", fields: "MT-Priority: 3\r\n", param: "5", own: true, want: 5, by: "field", sent: "MT-Priority: 5\r\n"},
		{name: "a stranger's", fields: "MT-Priority: 9\r\n", by: "field", sent: "MT-Priority: 0\r\n"},
		{name: "a stranger's, of less", fields: "MT-Priority: -9\r\n", want: -9, by: "field", sent: "MT-Priority: -9\r\n"},
	} {
		env := h.submission("far@example.test")
		text := complete + s.fields + bare
		if !s.own {
			env.From, env.Origin = addr("s@example.org"), envelope.Origin{Door: "smtp"}
		}
		if s.param != "" {
			n, err := smtp.ParsePriority(s.param)
			h.must(err)
			env.Priority, env.PriorityBy = n, envelope.PriorityParameter
		}
		h.must(h.take(env, text))
		m := h.queued()[0]
		trace, rest, _ := strings.Cut(string(h.text(m)), "+0000\r\n")
		rest = strings.Replace(rest, complete, "", 1)
		if e := m.Envelope; e.Priority != s.want || e.PriorityBy != s.by || rest != s.sent+bare {
			t.Errorf("%s: %d by %q, %q", s.name, e.Priority, e.PriorityBy, rest)
		}
		if says := strings.Contains(trace, " PRIORITY "); says != (s.want != 0) {
			t.Errorf("%s: %q", s.name, trace)
		}
	}
}

// What stays in the house is not touched, whoever sent it.
func TestPriorityFieldAtHome(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	c := h.call(smtpd.MX)
	c.say(250, "MAIL FROM:<s@example.org>")
	c.say(250, "RCPT TO:<alice@example.test>")
	c.say(354, "DATA")
	c.say(250, "MT-Priority: 9\r\nMT-Priority: 8\r\n\r\ntext\r\n.")
	if got := string(h.inbox("alice@example.test")[0]); !strings.HasSuffix(got, "\r\nMT-Priority: 9\r\nMT-Priority: 8\r\n\r\ntext\r\n") || strings.Contains(got, "PRIORITY 9") {
		t.Errorf("%q", got)
	}
}

// A header that is too long to be understood is kept as it is.
func TestEndlessHeader(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	text := "MT-Priority: 3\r\nRequire-Recipient-Valid-Since: alice@example.test; Thu, 1 Jan 2026 10:00:00 +0100\r\n" +
		strings.Repeat("X: "+strings.Repeat("y", 70)+"\r\n", maxHead/70) + "\r\ntext\r\n"
	for _, piece := range []int{len(text), 1000} {
		env := &envelope.Envelope{From: addr("s@example.org"), Rcpts: []envelope.Rcpt{{To: addr("alice@example.test"), RRVS: h.clock.Now()}}}
		x, err := h.in.Begin(t.Context(), env)
		h.must(err)
		for rest := text; rest != ""; {
			n := min(piece, len(rest))
			_, err := x.Write([]byte(rest[:n]))
			h.must(err)
			rest = rest[n:]
		}
		_, err = x.Commit(t.Context(), true)
		h.must(err)
		all := h.inbox("alice@example.test")
		if got := string(all[len(all)-1]); !strings.HasSuffix(got, "+0000\r\n"+text) || env.Priority != 0 {
			t.Errorf("in pieces of %d: %d octets of %d", piece, len(got), len(text))
		}
	}
}

// A condition in a field outlives a hold: it is judged on the day of the release.
func TestOwnerFieldOfHeldMail(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test")
	env := h.submission("bob@example.test")
	env.HoldUntil = h.clock.Now().Add(time.Hour)
	h.must(h.take(env, complete+"MT-Priority: 2\r\nRequire-Recipient-Valid-Since: bob@example.test; Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\ntext\r\n"))
	m := h.queued()[0]
	w := NewInward(new(outside))
	w.SetIntake(h.in)
	bob, err := h.directory.Account(t.Context(), addr("bob@example.test"))
	h.must(err)
	if outs := h.release(w, m); outs[0].Code != 250 {
		t.Fatalf("%+v", outs[0])
	}
	if got := string(h.inbox("bob@example.test")[0]); strings.Contains(got, "Valid-Since") || !strings.Contains(got, "PRIORITY 2") {
		t.Errorf("%q", got)
	}
	_, err = h.directory.RemoveAccount(t.Context(), bob.Address)
	h.must(err)
	h.clock.Advance(10 * 24 * time.Hour)
	_, err = h.directory.AddAccount(t.Context(), bob.Address, "correct horse")
	h.must(err)
	if outs := h.release(w, m); outs[0].Code != 550 || outs[0].Enhanced.String() != "5.7.17" {
		t.Errorf("to somebody else: %+v", outs[0])
	}
}

// What would be the second line of a field of ours is the body, and no way to have a
// From that is somebody else's.
func TestFirstLineThatFolds(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	for _, text := range []string{
		" From: bob@example.test\r\n\r\nx\r\n", "\tx\r\nFrom: bob@example.test\r\nDate: x\r\n\r\nx\r\n", " \r\nFrom: bob@example.test\r\n", " x\r\n",
	} {
		for _, own := range []bool{false, true} {
			env := h.submission("alice@example.test")
			if !own {
				env.From, env.Origin = addr("s@example.org"), envelope.Origin{Door: "smtp"}
			}
			got := string(h.file(env, text[:1], text[1:]))
			header, body, _ := strings.Cut(got, "\r\n\r\n")
			last := header[strings.LastIndexByte(header, '\n')+1:]
			if body != text || own && last != "Message-ID: <"+string(env.ID)+"@mx.house.test>" || !own && !strings.HasSuffix(last, "+0000") {
				t.Errorf("%q, own %v: %q", text, own, got)
			}
			if _, has := message.Header(got).Get("From"); has {
				t.Errorf("%q, own %v: it has a From", text, own)
			}
		}
	}
	// A line of that kind further on is what it always was.
	text := "Subject: x\r\n y\r\n\r\n z\r\n"
	env := h.submission("alice@example.test")
	env.From, env.Origin = addr("s@example.org"), envelope.Origin{Door: "smtp"}
	if got := string(h.file(env, text)); !strings.HasSuffix(got, "+0000\r\n"+text) {
		t.Errorf("%q", got)
	}
}
