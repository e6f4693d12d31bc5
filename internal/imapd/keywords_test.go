package imapd

import (
	"fmt"
	"strings"
	"testing"
)

func keywords(from, to int) string {
	var words []string
	for i := from; i < to; i++ {
		words = append(words, fmt.Sprintf("k%d", i))
	}
	return strings.Join(words, " ")
}

// keywordsUsedUp is a client of a mailbox of three messages: the first bears 63
// keywords, the second the last one there is room for.
func (h *house) keywordsUsedUp() *client {
	h.t.Helper()
	c := h.login("INBOX")
	for range 3 {
		c.appendMail("INBOX", "", simple)
	}
	c.ok("STORE 1 +FLAGS.SILENT (" + keywords(0, 63) + ")")
	c.ok("STORE 2 +FLAGS.SILENT (Last)")
	return c
}

// A mailbox whose keywords are all borne says so by PERMANENTFLAGS without \*
// (RFC 9051 section 7.1) and refuses others; when one is free again, it may be had
// under another name, and every session learns what its bits are called now.
func TestKeywordsRunOut(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	for range 3 {
		c.appendMail("INBOX", "", simple)
	}
	other := h.login("INBOX")
	c.ok("SELECT INBOX") // \Recent no more
	c.ok("STORE 1 +FLAGS.SILENT (" + keywords(0, 63) + ")")
	c.ok("STORE 2 +FLAGS.SILENT (Last)")
	permanent := `* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft ` + keywords(0, 63)
	lines, _ := h.login("").do("SELECT INBOX")
	if got := find(lines, "PERMANENTFLAGS"); got != permanent+" Last)] Flags permitted" {
		t.Errorf("full: %q", got)
	}
	c.talk(`
		C: a STORE 3 +FLAGS (New)
		S: a NO [LIMIT] ~
		C: b STORE 3 FLAGS (New)
		S: b NO [LIMIT] ~
		C: c STORE 3 +FLAGS (Last k1)
		S: * 3 FETCH (FLAGS (k1 Last))
		S: c OK ~
		C: d STORE 3 FLAGS ()
		S: * 3 FETCH (FLAGS ())
		S: d OK ~
	`)
	other.ok("NOOP")
	c.ok(`STORE 2 FLAGS.SILENT (\Deleted)`)
	lines, _ = h.login("").do("EXAMINE INBOX")
	if got := find(lines, "FLAGS ("); !strings.HasSuffix(got, " Last)") {
		t.Errorf("a keyword that nobody bears is forgotten before its time: %q", got)
	}
	lines, _ = h.login("").do("SELECT INBOX")
	if got := find(lines, "PERMANENTFLAGS"); got != permanent+` Last \*)] Flags permitted` {
		t.Errorf("room for one: %q", got)
	}
	c.talk(`
		C: e STORE 3 +FLAGS (New)
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft ` + keywords(0, 63) + ` New)
		S: ` + permanent + ` New)] Flags permitted
		S: * 3 FETCH (FLAGS (New))
		S: e OK ~
		C: f SEARCH KEYWORD Last
		S: * SEARCH
		S: f OK ~
		C: g SEARCH KEYWORD new
		S: * SEARCH 3
		S: g OK ~
	`)
	other.talk(`
		C: a NOOP
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft ` + keywords(0, 63) + ` New)
		S: ` + permanent + ` New)] Flags permitted
		S: * 2 FETCH (FLAGS (\Deleted))
		S: * 3 FETCH (FLAGS (New))
		S: a OK ~
	`)
}

// A message that was expunged behind the client's back is shown with the keywords
// it had, also when their place was given to others since.
func TestKeywordsOfTheGone(t *testing.T) {
	h := newHouse(t)
	c := h.keywordsUsedUp()
	other := h.login("INBOX")
	c.ok(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	c.ok("STORE 2 +FLAGS.SILENT (New)")
	other.talk(`
		C: a FETCH 2:3 FLAGS
		S: * FLAGS ~ New)
		S: * OK [PERMANENTFLAGS ~
		S: * 2 FETCH (FLAGS (Last))
		S: * 3 FETCH (FLAGS (New))
		S: a OK ~
		C: b FETCH 2:3 (FLAGS RFC822.SIZE)
		S: * 2 FETCH (FLAGS (Last) RFC822.SIZE ~
		S: * 3 FETCH (FLAGS (New) RFC822.SIZE ~
		S: b OK ~
	`)
}

// A silent STORE is not silent about what became of the flags besides.
func TestKeywordsSilently(t *testing.T) {
	h := newHouse(t)
	c := h.keywordsUsedUp()
	other := h.login("INBOX")
	other.appendMail("INBOX", "", simple)
	c.ok("STORE 2 -FLAGS.SILENT (Last)")
	c.ok("STORE 3 +FLAGS.SILENT (New)")
	c.ok(`STORE 3 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE") // so that the other's view cannot move before its UID STORE
	lines, tagged := other.do("UID STORE 2 +FLAGS.SILENT (New)")
	if got := find(lines, "* 2 FETCH"); !strings.HasPrefix(tagged, "OK") || got != "* 2 FETCH (FLAGS (New))" {
		t.Errorf("%q %s", lines, tagged)
	}
}

// find is the first line with a text.
func find(lines []string, text string) string {
	for _, l := range lines {
		if strings.Contains(l, text) {
			return l
		}
	}
	return ""
}

func TestLongKeyword(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", simple)
	for keyword, want := range map[string]string{strings.Repeat("k", 255): "OK ", strings.Repeat("k", 3000): "NO [LIMIT] A keyword has at most 255 bytes"} {
		if _, tagged := c.do("STORE 1 +FLAGS (" + keyword + ")"); !strings.HasPrefix(tagged, want) {
			t.Errorf("%d bytes: %q", len(keyword), tagged)
		}
	}
}
