package intake

import (
	"strings"
	"testing"
	"time"

	"posthouse/internal/smtp"
	"posthouse/internal/smtpd"
)

// What this house does not want is refused, by what MAIL says and by what the header
// says, but for the postmaster (RFC 3865).
func TestNoSoliciting(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.alias("postmaster@example.test", "alice@example.test")
	unwanted := []string{"net.example:ADV", "net.example:x"}
	h.in.SetBounds(Bounds{NoSoliciting: unwanted})
	for _, mode := range []smtpd.Mode{smtpd.MX, smtpd.LMTP} {
		c := h.call(mode, unwanted...)
		for _, s := range []struct {
			param, rcpt string
			rcptCode    int
			field       string
			code        int
			matched     string
		}{
			{"", "alice", 250, "", 250, ""},
			{" SOLICIT=net.example:ADV:ADLT", "alice", 250, "net.example:ADV:ADLT", 250, ""},
			{" SOLICIT=org.example:a,net.example:adv,net.example:x", "alice", 550, "", 0, "SOLICIT=net.example:ADV,net.example:x"},
			{" SOLICIT=net.example:ADV", "Postmaster", 250, "net.example:ADV", 250, ""},
			{"", "alice", 250, "a,net.example:ADV", 550, "SOLICIT=net.example:ADV"},
			{" SOLICIT=a", "alice", 250, "net.example:x", 550, "SOLICIT=net.example:x"},
			{"", "alice", 250, "(a, b", 250, ""}, // no classes
			{"", "alice", 250, "net.example:ADV ,\r\n\ta.b:c", 550, "SOLICIT=net.example:ADV"},
			{"", "alice", 250, "a.b:c,\r\n (not (this)) net.example:adv (but this)", 550, "SOLICIT=net.example:ADV"},
			{"", "alice", 250, "net.example:x\r\nSolicitation: no class, 1", 550, "SOLICIT=net.example:x"},
			{" SOLICIT=b", "alice", 250, strings.Repeat("a,", smtp.MaxSolicit) + "net.example:ADV", 550, "SOLICIT=net.example:ADV"},
			{"", "alice", 250, "net.example:AD V", 250, ""},
		} {
			c.say(250, "MAIL FROM:<s@example.org>"+s.param)
			text := c.say(s.rcptCode, "RCPT TO:<"+s.rcpt+"@example.test>")
			if s.rcptCode == 250 {
				c.say(354, "DATA")
				text = c.say(s.code, "Subject: x\r\nSolicitation: "+s.field+"\r\n\r\n.")
			} else {
				c.say(250, "RSET")
			}
			if s.matched != "" && (!strings.HasPrefix(text, "5.7.1 ") || !strings.HasSuffix(text, s.matched)) {
				t.Errorf("%+v: %q", s, text)
			}
		}
	}
	if got := h.inbox("alice@example.test"); len(got) != 10 || !strings.Contains(string(got[1]), "with ESMTP\r\n\t(SOLICIT=net.example:ADV:ADLT)\r\n\tid ") ||
		!strings.Contains(string(got[1]), "\r\nSolicitation: net.example:ADV:ADLT\r\n") {
		t.Errorf("%q", got)
	}
}

// Our own people send what they like, and it goes on with what their header says,
// also when it was held.
func TestSolicitingOfOurOwn(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.in.SetBounds(Bounds{NoSoliciting: []string{"net.example:ADV"}})
	env := h.submission("alice@example.test", "far@far.example")
	env.Solicit, env.HoldUntil = "b", h.clock.Now().Add(time.Hour)
	h.must(h.in.Rcpt(t.Context(), env, env.Rcpts[0]))
	h.must(h.take(env, complete+"Solicitation: net.example:ADV\r\nSolicitation: a\r\n\r\ntext\r\n"))
	m := h.queued()[0]
	if m.Envelope.Solicit != "net.example:ADV,a" {
		t.Errorf("%q", m.Envelope.Solicit)
	}
	long := h.submission("far@far.example")
	h.must(h.take(long, complete+"Solicitation: "+strings.Repeat("class,", smtp.MaxSolicit)+"last\r\n\r\ntext\r\n"))
	if got := h.queued()[0].Envelope.Solicit; got != strings.TrimSuffix(strings.Repeat("class,", smtp.MaxSolicit/6), ",") {
		t.Errorf("a long list: %q", got)
	}
	m.Rcpts = m.Rcpts[:1]
	w := NewInward(new(outside))
	w.SetIntake(h.in)
	if outs := h.release(w, m); outs[0].Code != 250 || len(h.inbox("alice@example.test")) != 1 {
		t.Errorf("%+v", outs[0])
	}
	if got := receivedField(env, "x", false); strings.Contains(got, "SOLICIT") {
		t.Errorf("%q", got) // there is no protocol
	}
	env.Solicit, env.Origin.Protocol = strings.Repeat("x", smtp.MaxSolicit), "ESMTP"
	for line := range strings.SplitSeq(receivedField(env, "x", false), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d", len(line))
		}
	}
}
