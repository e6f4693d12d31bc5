package intake

import (
	"bytes"
	"testing"

	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/smtpd"
)

// TestTLSRequiredNo tags a message by its header (RFC 8689 section 4.1).
func TestTLSRequiredNo(t *testing.T) {
	for head, want := range map[string]bool{
		"TLS-Required: No\r\n":                          true,
		"tls-required:\r\n no\r\n":                      true,
		"TLS-Required: Yes\r\n":                         false,
		"TLS-Required: No\r\nTLS-Required: No\r\n":      false,
		"Subject: TLS-Required: No\r\n":                 false,
		"Subject: x\r\n\r\nTLS-Required: No\r\n":        false,
		"Subject: x\r\nX-TLS-Required: No\r\nTo: a\r\n": false,
	} {
		h := newHouse(t, "alice@example.test")
		h.alias("out@example.test", "bob@example.org", "carol@example.org")
		c := h.call(smtpd.MX)
		c.say(250, "MAIL FROM:<bob@example.org>")
		c.say(250, "RCPT TO:<out@example.test>")
		c.say(354, "DATA")
		c.say(250, head+"\r\ntext\r\n.")
		list := h.queued()
		if len(list) != 1 || list[0].Envelope.TLSOptional != want {
			t.Errorf("%q: %d messages, want %v", head, len(list), want)
		}
	}
}

// TestPost takes a report on TLS, which goes out whatever TLS it is about is like.
func TestPost(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	m := &tlsrpt.Message{
		From: addr("postmaster@example.test"), To: addr("tls@example.org"), Submitter: "mx.house.test", Domain: "example.org",
		Date: h.clock.Now(), Report: &tlsrpt.Report{ID: "1@mx.house.test", Policies: []tlsrpt.Policy{{}}},
	}
	h.must(h.in.Post(t.Context(), m.From, m.To, m))
	list := h.queued()
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	e, r := list[0].Envelope, list[0].Rcpts
	if !e.TLSOptional || e.From != m.From || len(r) != 1 || r[0].To != m.To || r[0].Notify != "NEVER" {
		t.Errorf("%+v to %+v", e, r)
	}
	if report, err := tlsrpt.ParseMessage(bytes.NewReader(h.text(list[0]))); err != nil || report.ID != "1@mx.house.test" {
		t.Errorf("%+v, %v", report, err)
	}
}
