package intake

import (
	"strings"
	"testing"

	"posthouse/internal/envelope"
	"posthouse/internal/smtpd"
)

// What counts for other servers is whether the header needs SMTPUTF8, not whether
// the client said so, and nothing that is written here makes a message need it (RFC
// 6531 sections 3.2 and 3.7.3).
func TestUTF8OnlyWhereItIsNeeded(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.alias("ü@example.test", "far@far.example")
	h.alias("far@example.test", "far@far.example", "alice@example.test")
	for _, c := range []struct {
		from, to, subject string
		needs             bool
		trace             string // has this
	}{
		{"s@example.org", "far@example.test", "plain", false, "for <far@example.test>"},
		{"s@müller.example", "far@example.test", "plain", false, "for <far@example.test>"},
		{"s@example.org", "ü@example.test", "plain", false, "with UTF8SMTP id "},
		{"s@example.org", "far@example.test", "grün", true, "for <far@example.test>"},
	} {
		d := h.call(smtpd.MX)
		d.say(250, "MAIL FROM:<"+c.from+"> SMTPUTF8")
		d.say(250, "RCPT TO:<"+c.to+">")
		d.say(354, "DATA")
		d.say(250, "Subject: "+c.subject+"\r\n\r\ntext\r\n.")
		m := h.queued()[0]
		text := string(h.text(m))
		ascii := strings.IndexFunc(text, func(r rune) bool { return r > 126 }) < 0
		if m.UTF8 != c.needs || ascii == c.needs || !strings.Contains(text, c.trace) {
			t.Errorf("%+v: needs SMTPUTF8 %v, %q", c, m.UTF8, text)
		}
	}
	env := h.submission("u@müller.example")
	env.UTF8 = true
	h.must(h.take(env, complete+"\r\ntext\r\n"))
	if m := h.queued()[0]; m.UTF8 || !strings.Contains(string(h.text(m)), "for <u@xn--mller-kva.example>") {
		t.Errorf("submitted: %v, %q", m.UTF8, h.text(m))
	}
	// A report is such a message too.
	d := h.failing("s@müller.example")
	d.Original.UTF8 = true
	h.report(d)
	if m := h.queued()[0]; m.UTF8 || m.Rcpts[0].To.String() != "s@xn--mller-kva.example" {
		t.Errorf("a report: %v to %s", m.UTF8, m.Rcpts[0].To)
	}
	// At home the trace is as its reader writes it.
	at := envelope.Rcpt{To: addr("alice@müller.example")}
	if got := receivedField(&envelope.Envelope{Rcpts: []envelope.Rcpt{at}}, "x", false); !strings.Contains(got, "for <alice@müller.example>") {
		t.Errorf("%q", got)
	}
}
