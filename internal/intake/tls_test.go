package intake

import (
	"testing"

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
