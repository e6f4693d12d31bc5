package intake

import (
	"strings"
	"testing"
	"time"

	"posthouse/internal/smtpd"
)

// TestRRVS refuses mailboxes that are younger than the sender's knowledge of
// them; alice's and bob's are of noon, carol's of a day later.
func TestRRVS(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test")
	h.clock.Advance(24 * time.Hour)
	_, err := h.directory.AddAccount(t.Context(), addr("carol@example.test"), "correct horse")
	h.must(err)
	h.alias("new@example.test", "carol@example.test")
	h.alias("mixed@example.test", "carol@example.test", "bob@example.test")
	h.alias("far@example.test", "x@example.org")
	h.alias("postmaster@example.test", "carol@example.test")
	h.alias("sales@example.test", "carol@example.test")
	c := h.call(smtpd.MX)
	c.say(250, "MAIL FROM:<bank@example.org>")
	const afterNoon, atNoon, before = " RRVS=2026-03-01T12:00:01Z", " RRVS=2026-03-01T12:00:00Z", " RRVS=2026-03-01T11:59:59Z"
	for _, s := range []struct {
		rcpt string
		code int
	}{
		{"<alice@example.test>" + afterNoon, 250}, {"<alice@example.test>" + atNoon, 250}, {"<alice@example.test>" + before, 550},
		{"<alice+bank@example.test>" + before + ";C", 550}, {"<carol@example.test>", 250}, {"<carol@example.test>" + afterNoon, 550},
		{"<new@example.test>" + afterNoon, 550}, {"<mixed@example.test>" + afterNoon, 250}, {"<mixed@example.test>" + before, 550},
		{"<far@example.test>" + before, 250}, {"<nobody@example.test>" + before, 550}, {"<postmaster@example.test>" + before, 250},
		{"<Sales@example.test>" + before, 250},
	} {
		text := c.say(s.code, "RCPT TO:"+s.rcpt)
		if s.code == 550 && !strings.HasPrefix(s.rcpt, "<nobody") && !strings.HasPrefix(text, "5.7.17 ") {
			t.Errorf("%s: %q", s.rcpt, text)
		}
	}
	c.say(354, "DATA")
	c.say(250, "x\r\n.")
	for _, m := range h.queued() {
		for _, r := range m.Rcpts {
			if !r.RRVS.IsZero() {
				t.Errorf("the condition went on to %s, of whom the sender knew nothing", r.To)
			}
		}
	}
}

// TestRRVSAfterMoving believes an operator who knows since when an address has been
// its owner's.
func TestRRVSAfterMoving(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	c := h.call(smtpd.MX)
	c.say(250, "MAIL FROM:<bank@example.org>")
	const rcpt = "RCPT TO:<alice@example.test> RRVS=2020-01-01T00:00:00Z"
	c.say(550, rcpt)
	h.must(h.directory.SetOwnerSince(t.Context(), addr("alice@example.test"), time.Date(2019, 5, 1, 0, 0, 0, 0, time.UTC)))
	c.say(250, rcpt)
	h.must(h.directory.SetOwnerSince(t.Context(), addr("alice@example.test"), time.Time{}))
	c.say(550, rcpt)
}

// TestSizeAndQuota considers what the client declares and what the recipient may
// still keep (RFC 1870 section 6).
func TestSizeAndQuota(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test")
	h.must(h.directory.SetQuota(t.Context(), addr("alice@example.test"), 4096))
	c := h.call(smtpd.MX)
	rcpt := func(size string, code int, want string) {
		t.Helper()
		c.say(250, "MAIL FROM:<s@example.org> SIZE="+size)
		if text := c.say(code, "RCPT TO:<alice@example.test>"); !strings.HasPrefix(text, want) {
			t.Errorf("SIZE=%s: %q, want %q", size, text, want)
		}
		c.say(250, "RCPT TO:<bob@example.test>")
		c.say(250, "RSET")
	}
	rcpt("4096", 250, "2.1.5")
	rcpt("4097", 552, "5.2.2") // never
	c.send("<s@example.org>", "<alice@example.test>")
	rcpt("4000", 452, "4.2.2") // not now
	rcpt("1000", 250, "2.1.5")
}

// TestRRVSHeader reads the condition from a field of the header, when RCPT had
// none.
func TestRRVSHeader(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test") // at noon
	c := h.call(smtpd.MX)
	send := func(field string, code int, rcpts ...string) {
		t.Helper()
		c.say(250, "MAIL FROM:<bank@example.org>")
		for _, r := range rcpts {
			c.say(250, "RCPT TO:"+r)
		}
		c.say(354, "DATA")
		c.say(code, "Require-Recipient-Valid-Since: "+field+"\r\n\r\ntext\r\n.")
	}
	const before, after = "; Sun, 1 Mar 2026 11:59:59 +0000", "; Sun, 1 Mar 2026 13:00:01 +0100"
	send("alice@example.test"+before, 550, "<alice@example.test>")
	send("alice@example.test"+after, 250, "<alice@example.test>")
	send("Alice@Example.Test"+before, 550, "<alice@example.test>")
	send("bob@example.test"+before, 250, "<alice@example.test>")
	send("alice@example.test"+before, 550, "<alice@example.test>", "<bob@example.test>")
	send("alice@example.test"+after, 250, "<alice@example.test>", "<bob@example.test>")
	send("alice@example.test"+before, 550, "<bob@example.test>", "<alice@example.test>")
	send("alice@example.test"+before, 250, "<bob@example.test>", "<alice@example.test> RRVS=2026-03-01T12:00:00Z")
	send("alice@example.test"+before, 250, "<alice@example.test> RRVS=2026-03-01T12:00:00Z")
	for _, bad := range []string{"", "alice@example.test", "alice@example.test;", "alice@example.test; soon", "alice" + before} {
		send(bad, 250, "<alice@example.test>")
	}
}
