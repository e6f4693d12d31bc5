package imap

import (
	"strings"
	"testing"

	"posthouse/internal/message"
)

// parseAny runs the grammar that belongs to a command.
func parseAny(b []byte) error {
	LiteralAtEnd(b)
	AppendHead(b)
	p := NewParser(b)
	_, name := p.CommandStart()
	if name == "" {
		return p.Err()
	}
	p.SP()
	switch strings.TrimPrefix(name, "UID ") {
	case "FETCH":
		p.Fetch()
	case "STORE":
		p.Store()
	case "SEARCH":
		p.Search()
	case "COPY", "MOVE":
		p.NumSet()
		p.SP()
		p.AString()
	case "LIST":
		p.List()
	case "STATUS":
		p.AString()
		p.SP()
		p.StatusItems()
	case "CREATE":
		p.AString()
		p.CreateParams()
	case "SELECT":
		p.AString()
		p.SelectParams()
	case "ID":
		p.IDParams()
	case "LOGIN":
		p.AString()
		p.SP()
		p.NString()
	}
	return p.End()
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"a FETCH 1:*,$ (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<1.2>) (CHANGEDSINCE 5)", "a UID STORE 1 (UNCHANGEDSINCE 5) -FLAGS.SILENT (\\Seen a)",
		"a SEARCH RETURN (MIN) CHARSET x OR NOT (FROM {3}\r\na b 1:2) SINCE 1-Jan-2020 MODSEQ \"x\" all 5", "a LIST (SUBSCRIBED) \"\" (a% \"*\") RETURN (STATUS (MESSAGES))",
		"a APPEND {3+}\r\nabc (\\Seen) \"01-Feb-2023 04:05:06 +0200\" ~{5}", "a CREATE x (USE (\\Sent))", "a ID (\"a\" NIL)", "a SELECT x (CONDSTORE)", "a LOGIN \"a\\\"\" {0}\r\n",
		"a STATUS x (MESSAGES UIDNEXT)", "a UID", "+", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { parseAny(b) })
}

func FuzzNumSet(f *testing.F) {
	f.Add("1:*,5,9:3")
	f.Fuzz(func(t *testing.T, s string) {
		p := NewParser([]byte(s))
		set := p.NumSet()
		if p.End() != nil || set.Saved {
			return
		}
		for i, r := range set.Ranges {
			if q, ok := r.Resolve(1000); !ok || q.First > q.Last || q.First == 0 {
				t.Fatalf("%v resolves to %v", r, q)
			} else {
				set.Ranges[i] = q
			}
		}
		again := NewParser(AppendRanges(nil, set.Ranges))
		if got := again.NumSet(); again.End() != nil || len(got.Ranges) != len(set.Ranges) {
			t.Fatalf("%q is written %v", s, got)
		}
	})
}

func FuzzUTF7(f *testing.F) {
	f.Add("~peter/mail/&U,BTFw-/&ZeVnLIqe-")
	f.Add("caf\u00e9 & co")
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := DecodeUTF7(s); ok {
			if got := EncodeUTF7(name); got != s {
				t.Fatalf("%q decodes to %q, which is %q", s, name, got)
			}
		}
		if code := EncodeUTF7(s); strings.ToValidUTF8(s, "") == s {
			if name, ok := DecodeUTF7(code); !ok || name != s {
				t.Fatalf("%q encodes to %q, which is %q %v", s, code, name, ok)
			}
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add("OR (ALL NOT 1:3) HEADER a b")
	f.Fuzz(func(t *testing.T, s string) { p := NewParser([]byte(s)); p.Search() })
}

func FuzzFetch(f *testing.F) {
	f.Add("1 (BODY[1.HEADER.FIELDS (a b)]<1.2> BINARY[1])")
	f.Fuzz(func(t *testing.T, s string) {
		p := NewParser([]byte(s))
		fetch := p.Fetch()
		if p.End() != nil {
			return
		}
		for _, it := range fetch.Items {
			if it.Kind < FetchBody {
				continue
			}
			name := it.AppendName(nil)
			if it.Partial { // the response has no count
				name = append(name[:len(name)-1], ".1>"...)
			}
			q := NewParser(append([]byte("1 "), name...))
			if q.Fetch(); q.End() != nil {
				t.Fatalf("%q is named %q: %v", s, name, q.End())
			}
		}
	})
}

// FuzzStructure parses a message and reads what is written of it as a client
// would: balanced, and nothing but strings, numbers, NIL and lists.
func FuzzStructure(f *testing.F) {
	f.Add([]byte("From: a <b@c>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nTo: g:;\r\n\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := message.Parse(b)
		for _, utf8OK := range []bool{false, true} {
			out := AppendEnvelope(nil, &sum.Envelope, utf8OK)
			out = AppendBodyStructure(append(out, ' '), &sum.Root, StructureOptions{Extended: true, UTF8: utf8OK, Global: utf8OK})
			out = AppendBodyStructure(append(out, ' '), &sum.Root, StructureOptions{UTF8: utf8OK})
			p := NewParser(out)
			for i := range 3 {
				if i > 0 {
					p.SP()
				}
				readList(p)
			}
			if err := p.End(); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
		}
	})
}

func readList(p *Parser) {
	p.Need('(')
	for p.err == nil && !p.Take(')') {
		switch c := p.Peek(); {
		case c == '(':
			readList(p)
		case c >= '0' && c <= '9':
			p.Number64()
		default:
			p.NString()
		}
		p.Take(' ')
	}
}
