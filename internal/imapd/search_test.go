package imapd

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"

	"posthouse/internal/doortest"
	"posthouse/internal/mailbox"
)

func TestSearch(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.appendMail("INBOX", `(\Seen) "01-Feb-2023 04:05:06 +0000" `, simple)
	c.appendMail("INBOX", `(\Flagged Kw) "03-Feb-2023 04:05:06 +0000" `, nested)
	c.appendMail("INBOX", "", "Subject: third\r\nX-Note:\r\nDate: Tue, 7 May 2024 01:00:00 +0900\r\n\r\n"+strings.Repeat("long line\r\n", 100))
	c.ok("SELECT INBOX") // \Recent no more
	for keys, want := range map[string]string{
		"ALL": " 1 2 3", "1:2": " 1 2", "UID 3": " 3", "NOT 1": " 2 3", "OR SEEN FLAGGED": " 1 2", "SEEN FLAGGED": "",
		"UNSEEN": " 2 3", "KEYWORD kw": " 2", "UNKEYWORD KW": " 1 3", "RECENT": "", "OLD": " 1 2 3", "NEW": "",
		"SUBJECT HELLO": " 1", "FROM ann": " 1 2", "TO bob": " 2", "CC x": "", "BCC x": "", "HEADER X-Note \"\"": " 3",
		"HEADER Message-ID <1@example.org>": " 1", "BODY \"line two\"": " 1", "TEXT hello": " 1", "BODY hello": "",
		"CHARSET UTF-8 SUBJECT {5+}\r\ncaf\u00e9": " 2", "CHARSET ISO-8859-1 BODY {4+}\r\ncaf\xe9": " 2", "BODY \"caf\u00e9 joined\"": " 2",
		"BEFORE 2-Feb-2023": " 1", "ON 3-Feb-2023": " 2", "SINCE 3-Feb-2023": " 2 3", "SENTON 7-May-2024": " 3", "SENTBEFORE 7-May-2024": " 1 2",
		"SAVEDON 6-May-2024": " 1 2 3", "SAVEDBEFORE 6-May-2024": "", "LARGER 500": " 2 3", "SMALLER 200": " 1",
		"OLDER 86400": " 1 2", "YOUNGER 86400": " 3", "(1 (OR 1 2)) NOT (2)": " 1", "NOT (OR 1 3)": " 2", "2,3 UNSEEN": " 2 3",
		"EMAILID M999": "", "EMAILID bogus": "", "NOT ALL": "", "SAVEDATESUPPORTED": " 1 2 3",
	} {
		lines, tagged := c.do("SEARCH " + keys)
		if len(lines) != 1 || lines[0] != "* SEARCH"+want || !strings.HasPrefix(tagged, "OK") {
			t.Errorf("%s: %q %s, want%s", keys, lines, tagged, want)
		}
	}
	c.talk(`
		C: a SEARCH CHARSET KLINGON TEXT x
		S: a NO [BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ~)] ~
		C: b SEARCH OR 3 4
		S: * SEARCH 3
		S: b OK ~
		C: b2 SEARCH NOT 4:5
		S: * SEARCH 1 2 3
		S: b2 OK ~
		C: b3 FETCH 4 FLAGS
		S: b3 BAD ~
		C: c SEARCH NONSENSE
		S: c BAD ~
		C: d UID SEARCH 2:*
		S: * SEARCH 2 3
		S: d OK ~
	`)
}

// Every charset that BADCHARSET names is taken, and understood: a word written in
// it finds the message that has it in UTF-8.
func TestListedCharsets(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	words := []string{"naïve", "ęół", "ġħ", "ēģķ", "жук", "αβγ", "שלום", "سلام", "ığış", "ŵŷ", "日本", "한국", "ไทย", "việt", "plain"}
	c.appendMail("INBOX", "", "Content-Type: text/plain; charset=utf-8\r\n\r\n"+strings.Join(words, " ")+"\r\n")
	_, tagged := c.do("SEARCH CHARSET KLINGON ALL")
	_, list, _ := strings.Cut(tagged, "(")
	list, _, _ = strings.Cut(list, ")")
	names := strings.Fields(list)
	if len(names) < 30 {
		t.Fatalf("%q", tagged)
	}
	for _, name := range names {
		word, octets := "plain", "plain"
		enc, err := htmlindex.Get(name)
		if err != nil {
			enc, err = ianaindex.MIME.Encoding(name)
		}
		for _, w := range words {
			if name == "US-ASCII" { // which those indices take for more
				break
			}
			if err != nil || enc == nil {
				t.Fatalf("%s is nothing that is known: %v", name, err)
			}
			if out, err := enc.NewEncoder().String(w); err == nil {
				word, octets = w, out
				break
			}
		}
		lines, tagged := c.do(fmt.Sprintf("SEARCH CHARSET %s BODY {%d+}\r\n%s", name, len(octets), octets))
		if len(lines) != 1 || lines[0] != "* SEARCH 1" {
			t.Errorf("%s in %s: %q %s", word, name, lines, tagged)
		}
		if word == "plain" && name != "US-ASCII" {
			t.Errorf("no word is written in %s", name)
		}
	}
}

func TestSearchReturn(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	for range 5 {
		c.appendMail("INBOX", "", simple)
	}
	c.ok(`STORE 2 +FLAGS (\Deleted)`)
	c.ok(`EXPUNGE`)
	c.ok("SELECT INBOX") // \Recent no more
	c.talk(`
		C: a SEARCH RETURN (MIN MAX COUNT ALL) 1:4
		S: * ESEARCH (TAG "a") MIN 1 MAX 4 ALL 1:4 COUNT 4
		S: a OK ~
		C: b UID SEARCH RETURN () ALL
		S: * ESEARCH (TAG "b") UID ALL 1,3:5
		S: b OK ~
		C: c SEARCH RETURN (COUNT) DELETED
		S: * ESEARCH (TAG "c") COUNT 0
		S: c OK ~
		C: d SEARCH RETURN (SAVE) 2:3
		S: d OK ~
		C: e FETCH $ UID
		S: * 2 FETCH (UID 3)
		S: * 3 FETCH (UID 4)
		S: e OK ~
		C: f SEARCH RETURN (SAVE MIN) $ NOT UID 3
		S: * ESEARCH (TAG "f") MIN 3
		S: f OK ~
		C: g UID STORE $ +FLAGS.SILENT (\Deleted)
		S: g OK ~
		C: h EXPUNGE
		S: * 3 EXPUNGE
		S: h OK ~
		C: i FETCH $ UID
		S: i OK ~
		C: j ENABLE IMAP4rev2
		S: * ENABLED IMAP4rev2
		S: j OK ~
		C: k SEARCH ALL
		S: * ESEARCH (TAG "k") ALL 1:3
		S: k OK ~
		C: l SEARCH RETURN (SAVE) CHARSET x-none ALL
		S: l NO [BADCHARSET ~
		C: m COPY $ Archive
		S: m OK ~
	`)
}

func TestCondstore(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	for range 3 {
		c.appendMail("INBOX", "", simple)
	}
	c.ok("SELECT INBOX") // \Recent no more
	lines := c.ok("SELECT INBOX (CONDSTORE)")
	var top string
	for _, l := range lines {
		if doortest.Glob("* OK [HIGHESTMODSEQ ~", l) {
			top = strings.TrimSuffix(strings.Fields(l)[3], "]")
		}
	}
	c.talk(`
		C: a STORE 2 +FLAGS (\Seen)
		S: * 2 FETCH (FLAGS (\Seen) MODSEQ (~))
		S: a OK ~
		C: b FETCH 1:* (FLAGS) (CHANGEDSINCE ` + top + `)
		S: * 2 FETCH (FLAGS (\Seen) MODSEQ (~))
		S: b OK ~
		C: c STORE 1:3 (UNCHANGEDSINCE ` + top + `) +FLAGS.SILENT (\Flagged)
		S: * 1 FETCH (MODSEQ (~))
		S: * 3 FETCH (MODSEQ (~))
		S: c OK [MODIFIED 2] Conditional STORE failed
		C: d UID STORE 2 (UNCHANGEDSINCE 1) FLAGS (\Draft)
		S: d OK [MODIFIED 2] Conditional STORE failed
		C: e SEARCH MODSEQ 1
		S: * SEARCH 1 2 3 (MODSEQ ~)
		S: e OK ~
		C: f SEARCH RETURN (MIN) MODSEQ 1
		S: * ESEARCH (TAG "f") MIN 1 MODSEQ ~
		S: f OK ~
		C: g SEARCH MODSEQ 99999999
		S: * SEARCH
		S: g OK ~
	`)
	d := h.login("INBOX")
	d.talk(`
		C: a FETCH 1 (MODSEQ)
		S: * OK [HIGHESTMODSEQ ~] ~
		S: * 1 FETCH (MODSEQ (~))
		S: a OK ~
		C: b FETCH 1 (ENVELOPE) (CHANGEDSINCE 99999)
		S: b OK ~
	`)
	c.ok(`STORE 1 +FLAGS.SILENT (\Answered)`)
	d.talk(`
		C: c NOOP
		S: * 1 FETCH (FLAGS (\Answered \Flagged) MODSEQ (~))
		S: c OK ~
	`)
}

// A silent STORE is silent about itself, not about what others did meanwhile; what
// is told then has both, so that a client need not guess which came first.
func TestSilentStoreTellsOthersChanges(t *testing.T) {
	h := newHouse(t)
	a, b := h.login("INBOX"), h.login("INBOX")
	a.appendMail("INBOX", "", simple)
	b.ok("NOOP")
	a.ok(`STORE 1 +FLAGS (\Flagged)`)
	b.talk(`
		C: a STORE 1 +FLAGS.SILENT (\Seen)
		S: * 1 FETCH (FLAGS (\Flagged \Seen))
		S: a OK ~
		C: b STORE 1 FLAGS.SILENT (\Draft)
		S: b OK ~
		C: c NOOP
		S: c OK ~
	`)
}

// A short command must not become a long list: each set of a search is kept as
// ranges of UIDs, of which a mailbox with gaps has many.
func TestSearchOfManySets(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.appendMail("INBOX", "", simple)
	for keys, want := range map[string]string{
		strings.Repeat("OLDER 1 ", maxLooks-1) + "OLDER 1":      "OK",
		strings.Repeat("OLDER 1 ", maxLooks) + "OLDER 1":        "NO [LIMIT]",
		strings.Repeat("(NOT EMAILID M9) ", maxLooks) + "ALL":   "OK",
		strings.Repeat("(NOT EMAILID M9) ", maxLooks+1) + "ALL": "NO [LIMIT]",
		strings.Repeat("1:* ", 5000) + "ALL":                    "OK",
	} {
		if _, tagged := c.do("SEARCH " + keys); !strings.HasPrefix(tagged, want) {
			t.Errorf("%.20s… × %d: %s", keys, strings.Count(keys, " "), tagged)
		}
	}
	few := &compiler{ranges: maxRanges - 1}
	if _, err := few.uids(make(mailbox.UIDSet, 1)); err != nil {
		t.Error(err)
	}
	if _, err := few.uids(make(mailbox.UIDSet, 1)); err != errBigSearch {
		t.Errorf("too many ranges: %v", err)
	}
}
