package imapd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"posthouse/internal/imap"
)

// A header longer than what is looked at together is searched, and sent, to its end.
func TestLongHeaders(t *testing.T) {
	c := newHouse(t).login("INBOX")
	var many strings.Builder
	many.WriteString("Subject: many\r\n")
	for i := range 9000 {
		fmt.Fprintf(&many, "X-%d: %s\r\n\tfolded value %d.\r\n", i, strings.Repeat("v", 60), i)
	}
	c.appendMail("INBOX", "", many.String()+"To: last@example.test\r\nContent-Type: text/html\r\n\r\nthe body\r\n")
	c.ok("SELECT INBOX")
	if many.Len() < 3*headerWindow {
		t.Fatal("the header is not long")
	}
	for item, want := range map[string]string{
		"BODY[HEADER.FIELDS (X-8999)]":                 "X-8999: " + strings.Repeat("v", 60) + "\r\n\tfolded value 8999.\r\n\r\n",
		"BODY[HEADER.FIELDS (TO X-4500 SUBJECT)]":      "Subject: many\r\nX-4500: " + strings.Repeat("v", 60) + "\r\n\tfolded value 4500.\r\nTo: last@example.test\r\n\r\n",
		"BODY[HEADER.FIELDS.NOT (TO CONTENT-TYPE)]":    many.String() + "\r\n",
		"BODY[HEADER.FIELDS.NOT (X-9999)]<400000.300>": many.String()[400000:400300],
		"BODY[HEADER.FIELDS (SUBJECT TO)]<9.9999>":     "many\r\nTo: last@example.test\r\n\r\n",
	} {
		if _, got := c.literal(item); got != want {
			t.Errorf("%s: %d bytes, want %d; %.200q", item, len(got), len(want), got)
		}
	}
	for keys, want := range map[string]string{
		`HEADER X-8999 "value 8999."`: " 1", `HEADER X-8999 "value 8998."`: "", `TEXT "value 8999."`: " 1", `TEXT "X-4500: "`: " 1",
		`HEADER X-9000 ""`: "", "TO last": " 1", "BODY folded": "", "BODY body": " 1",
	} {
		if got := c.whole("SEARCH " + keys); got != "* SEARCH"+want {
			t.Errorf("SEARCH %s: %q, want%s", keys, got, want)
		}
	}
	if got := c.whole("FETCH 1 (ENVELOPE BODY)"); !strings.Contains(got, `"last" "example.test"`) || !strings.Contains(got, `"html"`) {
		t.Errorf("%.300q", got)
	}
}

// Fields are chosen alike however much is looked at together.
func TestFieldReader(t *testing.T) {
	header := []byte("A: 1\r\n folded\r\nB: 22\r\nc : 3\r\nstray\r\nLong: " + strings.Repeat("A: ", 30) + "\r\n\tb\r\nA:\r\n\r\nA: body\r\n")
	for _, sec := range []imap.Section{
		{Kind: imap.SectionHeaderFields, Fields: []string{"a", "C"}},
		{Kind: imap.SectionHeaderFields, Fields: []string{"LONG"}},
		{Kind: imap.SectionHeaderFieldsNot, Fields: []string{"a", "stray"}},
		{Kind: imap.SectionHeaderFields},
	} {
		read := func(window int) (all string) {
			r := newFieldReader(bytes.NewReader(header), extent{0, int64(len(header)), true}, sec)
			r.buf = make([]byte, window)
			for !r.done {
				fields, _, err := r.next()
				must(t, err)
				all += string(fields)
			}
			return all
		}
		want := read(len(header))
		for window := 30; window < len(header); window++ {
			if got := read(window); got != want {
				t.Errorf("%v in windows of %d: %q, want %q", sec, window, got, want)
			}
		}
	}
}
