package imap

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"posthouse/internal/message"
)

func TestStrings(t *testing.T) {
	for in, want := range map[string]string{
		`abc`: "abc", `a]b`: "a]b", `"a b"`: "a b", `"a\"\\b"`: `a"\b`, `""`: "", "{3}\r\na\r\n": "a\r\n", "{3+}\r\nabc": "abc",
		"~{2}\r\n\x00b": "\x00b", "{0}\r\n": "", "caf\u00e9": "caf\u00e9",
	} {
		p := NewParser([]byte(in))
		got := p.AString()
		if err := p.End(); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{``, `"a`, "\"a\r\n\"", `a(`, "{4}\r\nabc", "{x}\r\n", "{99999999999999999999}\r\n", `"a\`, `%`, `"a" `} {
		p := NewParser([]byte(in))
		p.AString()
		if p.End() == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestNumSet(t *testing.T) {
	for in, want := range map[string][]Range{
		"1": {{1, 1}}, "1:3,7": {{1, 3}, {7, 7}}, "*": {{0, 0}}, "4:*": {{4, 0}}, "*:4": {{0, 4}}, "9:2": {{9, 2}}, "4294967295": {{4294967295, 4294967295}},
	} {
		p := NewParser([]byte(in))
		if got := p.NumSet(); p.End() != nil || !reflect.DeepEqual(got.Ranges, want) {
			t.Errorf("%q: %v %v", in, got, p.Err())
		}
	}
	for _, in := range []string{"", "0", "1,", "1:", "a", "1;2", "4294967296", "1:2:3", "-1"} {
		p := NewParser([]byte(in))
		p.NumSet()
		if p.End() == nil {
			t.Errorf("%q was taken", in)
		}
	}
	if got := string(AppendRanges(nil, []Range{{1, 3}, {5, 5}})); got != "1:3,5" {
		t.Error(got)
	}
	if r, ok := (Range{0, 4}).Resolve(9); !ok || r != (Range{4, 9}) {
		t.Error(r, ok)
	}
	if _, ok := (Range{1, 0}).Resolve(0); ok {
		t.Error(`"*" in an empty mailbox has no number`)
	}
}

func TestUTF7(t *testing.T) {
	for name, code := range map[string]string{
		"INBOX": "INBOX", "~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 section 5.1.3
		"a&b": "a&-b", "&": "&-", "\u00fc": "&APw-", "\U0001F642": "&2D3eQg-", "": "", "\t": "&AAk-", "a\u00fcb\u00fc": "a&APw-b&APw-",
	} {
		if got := EncodeUTF7(name); got != code {
			t.Errorf("%q is encoded %q, want %q", name, got, code)
		}
		if got, ok := DecodeUTF7(code); !ok || got != name {
			t.Errorf("%q is decoded %q %v, want %q", code, got, ok, name)
		}
	}
	// The last two come from RFC 3501: superfluous shifts, and "A" encoded.
	for _, code := range []string{"&", "a&b", "&AP-", "&2D0-", "&3kI-", "\u00fc", "&U,BTFw-&ZeVnLIqe-", "&AEE-", "&APx-", "a\x01"} {
		if got, ok := DecodeUTF7(code); ok {
			t.Errorf("%q was decoded: %q", code, got)
		}
	}
}

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b/c", true}, {"%", "a", true}, {"%", "a/b", false}, {"a/%", "a/b", true}, {"a/%", "a/b/c", false}, {"a/%", "a", false},
		{"*c", "a/b/c", true}, {"%/%", "a/b", true}, {"%/%", "a/b/c", false}, {"*/%", "a/b/c", true}, {"a*b%c", "axxb/b-c", true},
		{"a*b%c", "axxb/c", false}, {"", "", true}, {"", "a", false}, {"**%%", "", true}, {"%a%", "bab", true}, {"*a*a*", "xaya", true}, {"*a*a*", "xay", false},
		{"INBOX", "INBOX", true}, {"a%", "a/", false},
	} {
		if got := MatchPattern(c.pattern, c.name, '/'); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.name, got)
		}
	}
	long := strings.Repeat("*a", 200)
	began := time.Now()
	if MatchPattern(long+"b", strings.Repeat("a", 500), '/') {
		t.Error("a pattern that ends in b matches a name of a")
	}
	if time.Since(began) > 2*time.Minute { // exponential time, not a slow machine
		t.Error("a pattern of many stars takes too long")
	}
}

func TestLiteralAtEnd(t *testing.T) {
	for in, want := range map[string]Literal{
		"a LOGIN {5}": {5, true, false}, "{0+}": {0, false, false}, "x ~{7}": {7, true, true}, "{99999999999999999999+}": {1<<63 - 1, false, false},
	} {
		if got, ok := LiteralAtEnd([]byte(in)); !ok || got != want {
			t.Errorf("%q: %v %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "}", "{}", "{+}", "5}", "{a}", "{5} ", "{-5}"} {
		if got, ok := LiteralAtEnd([]byte(in)); ok {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestFetchItems(t *testing.T) {
	for in, want := range map[string]string{
		"1 (FLAGS BODY[1.2.HEADER.FIELDS (To \"From\")]<5.9>)": "BODY[1.2.HEADER.FIELDS (To From)]<5>",
		"1 BODY.PEEK[]":                   "BODY[]",
		"1 body[3.mime]":                  "BODY[3.MIME]",
		"1 BINARY.SIZE[1.1]":              "BINARY.SIZE[1.1]",
		"1:* (rfc822.header)":             "RFC822.HEADER",
		"$ BODY[TEXT]<0.1>":               "BODY[TEXT]<0>",
		"1 (BODY[HEADER.FIELDS.NOT (a)])": "BODY[HEADER.FIELDS.NOT (a)]",
	} {
		p := NewParser([]byte(in))
		f := p.Fetch()
		if err := p.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := string(f.Items[len(f.Items)-1].AppendName(nil)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestSearchKeys(t *testing.T) {
	for _, in := range []string{
		"ALL", "1:3 UNSEEN", "OR (FROM a TO b) NOT DELETED", "RETURN () ALL", "RETURN (MIN SAVE) CHARSET UTF-8 TEXT {3}\r\nabc",
		`MODSEQ "/flags/\\draft" all 620162338`, "SENTSINCE 1-Feb-1994 ON \"01-Mar-2020\"", "UID 1:* KEYWORD x UNKEYWORD y", "$", "HEADER X-A \"\"",
		"LARGER 10 SMALLER 4294967296 OLDER 5 YOUNGER 6", "EMAILID M1 THREADID T2", "(((ALL)))",
	} {
		p := NewParser([]byte(in))
		p.Search()
		if err := p.End(); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"", "()", "NOT", "OR ALL", "NOSUCH", "FROM", "SINCE 32-Jan-2020", "RETURN (X) ALL", "ALL ", "OLDER 0", "(ALL", strings.Repeat("NOT ", 200) + "ALL"} {
		p := NewParser([]byte(in))
		p.Search()
		if p.End() == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestAppendHead(t *testing.T) {
	tag, a, ok, fault := AppendHead([]byte("A1 APPEND {5}\r\nINBOX (\\Seen $a) \"01-Feb-2023 04:05:06 +0200\" ~{9+}"))
	if !ok || tag != "A1" || a.Mailbox != "INBOX" || len(a.Flags.System) != 1 || len(a.Flags.Keywords) != 1 || a.Date.Unix() != 1675217106 || fault != nil {
		t.Error(tag, a, ok, fault)
	}
	for in, faulty := range map[string]bool{
		"A1 APPEND {5}": false, "A1 LOGIN a {5}": false, `A1 APPEND "INBOX {5}`: false, "A1 APPEND {5}\r\nINBOX {5} {3}": true, "A1 APPEND INBOX {5} {3}": true,
		`A1 APPEND INBOX (\X) {5}`: true, `A1 APPEND INBOX (\Seen {5}`: true, `A1 APPEND INBOX "yesterday" {5}`: true, "A1 APPEND INBOX () what {5}": true,
	} {
		if _, _, ok, fault := AppendHead([]byte(in)); ok || (fault != nil) != faulty {
			t.Errorf("%q: %v, %v", in, ok, fault)
		}
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"\`: `"a\"\\"`, "a\r\nb": "{4}\r\na\r\nb", "\u00e9": "{2}\r\n\u00e9", "a\x00b": `"ab"`, "\x00\n": "{1}\r\n\n",
	} {
		if got := string(AppendString(nil, in, false)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := string(AppendString(nil, "\u00e9", true)); got != "\"\u00e9\"" {
		t.Error(got)
	}
	if got := string(AppendString(nil, "\xff", true)); got != "{1}\r\n\xff" {
		t.Errorf("%q", got)
	}
}

func TestBodyStructure(t *testing.T) {
	text := message.Part{Type: "TEXT", Subtype: "PLAIN", Params: []message.Param{{Name: "CHARSET", Value: "utf-8"}}, Encoding: "7BIT", BodyStart: 10, BodyEnd: 40, Lines: 3}
	odd := message.Part{Type: "IMAGE", Subtype: "PNG", ID: "<i@x>", Description: "d", Encoding: "BASE64", BodyEnd: 5, MD5: "m",
		Disposition: "attachment", DispParams: []message.Param{{Name: "FILENAME", Value: "a\"b"}}, Language: []string{"de", "en"}, Location: "http://x"}
	multi := message.Part{Type: "multipart", Subtype: "mixed", Parts: []message.Part{text, odd}, Params: []message.Param{{Name: "boundary", Value: "b"}}}
	for _, c := range []struct {
		part message.Part
		o    StructureOptions
		want string
	}{
		{text, StructureOptions{}, `("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 30 3)`},
		{odd, StructureOptions{Extended: true}, `("IMAGE" "PNG" NIL "<i@x>" "d" "BASE64" 5 "m" ("attachment" ("FILENAME" "a\"b")) ("de" "en") "http://x")`},
		{multi, StructureOptions{Extended: true}, `(("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 30 3 NIL NIL NIL NIL)("IMAGE" "PNG" NIL "<i@x>" "d" "BASE64" 5 "m" ("attachment" ("FILENAME" "a\"b")) ("de" "en") "http://x") "mixed" ("boundary" "b") NIL NIL NIL)`},
		{message.Part{Type: "multipart"}, StructureOptions{}, `(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0) "MIXED")`},
		{message.Part{Type: "message", Subtype: "global"}, StructureOptions{}, `("message" "global" NIL NIL NIL "7BIT" 0)`},
		{message.Part{Type: "message", Subtype: "rfc822"}, StructureOptions{}, `("message" "rfc822" NIL NIL NIL "7BIT" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0) 0)`},
	} {
		if got := string(AppendBodyStructure(nil, &c.part, c.o)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestDateTime(t *testing.T) {
	if got := string(AppendDateTime(nil, 1675217106)); got != `"01-Feb-2023 02:05:06 +0000"` {
		t.Error(got)
	}
	for _, in := range []string{`"01-Feb-2023 04:05:06 +0200"`, `" 1-Feb-2023 04:05:06 +0200"`, `"1-feb-2023 04:05:06 +0200"`} {
		p := NewParser([]byte(in))
		if got := p.DateTime(); p.End() != nil || got.Unix() != 1675217106 {
			t.Error(in, got, p.Err())
		}
	}
	for _, unix := range []int64{-1 << 62, 1 << 62} {
		if got := len(AppendDateTime(nil, unix)); got != len(`"01-Feb-2023 02:05:06 +0000"`) {
			t.Error(unix, got)
		}
	}
}
