package imapd

import (
	"strings"
	"testing"
)

// What is wrong with an APPEND is said before its message is sent, and named.
func TestAppendFaults(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.talk(`
		C: a APPEND INBOX (\Nonsense) {100000}
		S: a BAD Unknown system flag
		C: b APPEND INBOX "yesterday" {10}
		S: b BAD Expected a date ~
		C: c APPEND INBOX (\Seen) "01-Feb-2023 04:05:06 +0200" later {10}
		S: c BAD Expected the message as a literal
		C: d APPEND INBOX (\Seen)
		S: d BAD APPEND needs the message as a literal
		C: e APPEND INBOX (\Nonsense) text
		S: e BAD Unknown system flag
		C: f APPEND INBOX (\Seen {10}
		S: f BAD Expected ~
		C: g APPEND INBOX "mail"
		S: g BAD APPEND needs the message as a literal
	`)
	c.send("h APPEND INBOX (\\Nonsense) {2000000+}\r\n" + strings.Repeat("x", 2_000_000) + "\r\ni NOOP\r\n")
	c.talk(`
		S: h BAD Unknown system flag
		S: i OK ~
		C: j APPEND {100000}
		S: j BAD [TOOBIG] ~
	`)
}

// A date is one, however unlikely (RFC 9051 section 6.3.12).
func TestAppendKeepsDates(t *testing.T) {
	c := newHouse(t).login("INBOX")
	for _, date := range []string{"01-Jan-0001 00:00:00 +0000", "31-Dec-0001 23:59:59 +0000", "01-Jan-1970 00:00:00 +0000", "31-Dec-9999 23:59:59 +0000"} {
		c.appendMail("INBOX", `"`+date+`" `, simple)
		if lines := c.ok("FETCH * INTERNALDATE"); !contains(lines, `~INTERNALDATE "`+date+`"~`) {
			t.Errorf("%s: %q", date, lines)
		}
	}
	c.appendMail("INBOX", "", simple)
	if lines := c.ok("FETCH * INTERNALDATE"); !contains(lines, `~INTERNALDATE "06-May-2024 07:08:09 +0000"~`) {
		t.Errorf("without a date: %q", lines)
	}
}
