package message

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// outline draws the structure of a message and the bytes of each body.
func outline(raw string, p *Part, path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s", path, strings.ToLower(p.Type), strings.ToLower(p.Subtype))
	if len(p.Parts) == 0 && p.Message == nil {
		fmt.Fprintf(&b, " %q", raw[p.BodyStart:p.BodyEnd])
	}
	fmt.Fprintf(&b, " %d\n", p.Lines)
	for i := range p.Parts {
		b.WriteString(outline(raw, &p.Parts[i], fmt.Sprintf("%s.%d", path, i+1)))
	}
	if p.Message != nil {
		b.WriteString(outline(raw, &p.Message.Root, path+"m"))
	}
	return b.String()
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

var structures = []struct{ name, raw, want string }{
	{"plain", "Subject: x\n\nhello\n", `0 text/plain "hello\r\n" 1` + "\n"},
	{"no end of the last line", "Subject: x\n\nhello", `0 text/plain "hello" 0` + "\n"},
	{"empty", "", `0 text/plain "" 0` + "\n"},
	{"only an empty line", "\n", `0 text/plain "" 0` + "\n"},
	{"header only", "Subject: x\n", `0 text/plain "" 0` + "\n"},
	{"no header", "\nbody\n", `0 text/plain "body\r\n" 1` + "\n"},
	{"text without header and empty line", "hello\nworld\n", `0 text/plain "hello\r\nworld\r\n" 2` + "\n"},
	{"header runs into text", "Subject: x\nhello\nworld\n", `0 text/plain "hello\r\nworld\r\n" 2` + "\n"},
	{"a stray line in the header", "Subject: x\nstray line\nFrom: a@b\n\nbody\n", `0 text/plain "body\r\n" 1` + "\n"},
	{"mbox line", "From a@b Mon Jan 1 00:00:00 2024\nSubject: x\n\nbody\n", `0 text/plain "body\r\n" 1` + "\n"},
	{
		"multipart",
		"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n\n--b--\nepilogue\n",
		"0 multipart/mixed 11\n0.1 text/plain \"one\" 0\n0.2 text/html \"two\\r\\n\" 1\n",
	},
	{
		"no closing boundary",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n",
		"0 multipart/mixed 6\n0.1 text/plain \"one\" 0\n0.2 text/plain \"two\\r\\n\" 1\n",
	},
	{
		"no boundary parameter",
		"Content-Type: multipart/mixed\n\n--b\n\none\n--b--\n",
		"0 multipart/mixed 4\n0.1 text/plain \"--b\\r\\n\\r\\none\\r\\n--b--\\r\\n\" 4\n",
	},
	{
		"boundary that never comes",
		"Content-Type: multipart/mixed; boundary=c\n\n--b\n\none\n",
		"0 multipart/mixed 3\n0.1 text/plain \"--b\\r\\n\\r\\none\\r\\n\" 3\n",
	},
	{
		"no empty line before the first part",
		"Content-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/html\n\none\n--b--\n",
		"0 multipart/mixed 5\n0.1 text/html \"one\" 0\n",
	},
	{
		"empty parts, one without an empty line",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b\nContent-Type: text/html\n--b\n--b--\n",
		"0 multipart/mixed 6\n0.1 text/plain \"\" 0\n0.2 text/html \"\" 0\n0.3 text/plain \"\" 0\n",
	},
	{
		"part of text without a header",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\none\ntwo\n--b--\n",
		"0 multipart/mixed 4\n0.1 text/plain \"one\\r\\ntwo\" 1\n",
	},
	{
		"nested, the inner one not closed",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=\"b c\"\n\n--b c\n\none\n--b c\n\ntwo\n--b\n\nthree\n--b--\n",
		"0 multipart/mixed 13\n0.1 multipart/alternative 5\n0.1.1 text/plain \"one\" 0\n0.1.2 text/plain \"two\" 0\n0.2 text/plain \"three\" 0\n",
	},
	{
		"message",
		"Content-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n",
		"0 message/rfc822 7\n0m multipart/mixed 4\n0m.1 text/plain \"one\" 0\n",
	},
	{
		"encoded message stays opaque",
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=\n",
		"0 message/rfc822 \"U3ViamVjdDogeAo=\\r\\n\" 1\n",
	},
	{
		"digest",
		"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--\n",
		"0 multipart/digest 10\n0.1 message/rfc822 2\n0.1m text/plain \"one\" 0\n0.2 text/plain \"two\" 0\n",
	},
	{
		"message ended by a boundary in its header",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n",
		"0 multipart/mixed 5\n0.1 message/rfc822 0\n0.1m text/plain \"\" 0\n",
	},
}

func TestStructure(t *testing.T) {
	for _, tt := range structures {
		t.Run(tt.name, func(t *testing.T) {
			raw := crlf(tt.raw)
			s := Parse([]byte(raw))
			if got := outline(raw, &s.Root, "0"); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			checkSummary(t, []byte(raw), s)
		})
		t.Run(tt.name+" with LF", func(t *testing.T) {
			s := Parse([]byte(tt.raw))
			want := strings.ReplaceAll(tt.want, `\r\n`, `\n`)
			if got := outline(tt.raw, &s.Root, "0"); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if s.BareLines != strings.Contains(tt.raw, "\n") {
				t.Error("BareLines", s.BareLines)
			}
		})
	}
}

// checkSummary checks what holds for the Summary of any message.
func checkSummary(t rapid.TB, raw []byte, s *Summary) {
	t.Helper()
	if s.Size != int64(len(raw)) {
		t.Fatalf("size %d, want %d", s.Size, len(raw))
	}
	if s.Root.HeaderStart != 0 || s.Root.BodyEnd != s.Size {
		t.Fatalf("root does not cover the message: %+v", s.Root)
	}
	checkPart(t, raw, &s.Root, 0, s.Size)
	b := s.AppendBinary(nil)
	if len(b) >= MaxEncoded {
		t.Fatalf("encoding of %d bytes", len(b))
	}
	back, err := DecodeSummary(b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Kept]*Summary{KeptWhole: s, KeptEnvelope: s.withoutStructure(), KeptTraits: s.traits()}[back.Kept]
	if !reflect.DeepEqual(back, want) {
		t.Fatalf("round trip:\n%+v\n%+v", want, back)
	}
}

func checkPart(t rapid.TB, raw []byte, p *Part, from, to int64) {
	t.Helper()
	if p.HeaderStart < from || p.BodyStart < p.HeaderStart || p.BodyEnd < p.BodyStart || p.BodyEnd > to {
		t.Fatalf("part outside %d..%d: %+v", from, to, p)
	}
	if n := int64(bytes.Count(raw[p.BodyStart:p.BodyEnd], []byte("\n"))); n != p.Lines {
		t.Fatalf("%d lines, want %d: %+v", p.Lines, n, p)
	}
	if p.Type == "" || p.Subtype == "" || p.Encoding == "" {
		t.Fatalf("defaults missing: %+v", p)
	}
	if strings.EqualFold(p.Type, "multipart") && len(p.Parts) == 0 {
		t.Fatalf("multipart without parts: %+v", p)
	}
	from = p.BodyStart
	for i := range p.Parts {
		checkPart(t, raw, &p.Parts[i], from, p.BodyEnd)
		from = p.Parts[i].BodyEnd
	}
	if m := p.Message; m != nil {
		if m.Root.HeaderStart != p.BodyStart || m.Root.BodyEnd != p.BodyEnd {
			t.Fatalf("embedded message does not cover its part: %+v", p)
		}
		checkPart(t, raw, &m.Root, p.BodyStart, p.BodyEnd)
	}
}

func parseChunks(raw []byte, size int) *Summary {
	p := NewParser(Options{})
	for len(raw) > 0 {
		n := min(size, len(raw))
		p.Write(raw[:n])
		raw = raw[n:]
	}
	return p.Finish()
}

func TestReset(t *testing.T) {
	p := NewParser(Options{})
	for range 2 {
		for name, raw := range vectors(t) {
			p.Reset()
			p.Write(raw[:len(raw)/2])
			p.Reset()
			p.Write(raw)
			if got, want := p.Finish(), Parse(raw); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: a used parser gives\n%+v\nwant\n%+v", name, got, want)
			}
		}
	}
}

func TestChunking(t *testing.T) {
	for _, tt := range structures {
		raw := []byte(crlf(tt.raw))
		want := Parse(raw)
		for size := 1; size < 20; size++ {
			if got := parseChunks(raw, size); !reflect.DeepEqual(got, want) {
				t.Errorf("%s in chunks of %d:\n%+v\n%+v", tt.name, size, got, want)
			}
		}
	}
}

func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob("testdata/mail-parser/*/*.eml")
	if err != nil || len(names) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "testdata/mail-parser/")] = b
	}
	return files
}

func TestVectors(t *testing.T) {
	for name, raw := range vectors(t) {
		for _, raw := range [][]byte{raw, []byte(crlf(strings.ReplaceAll(string(raw), "\r\n", "\n")))} {
			s := Parse(raw)
			checkSummary(t, raw, s)
			for _, size := range []int{1, 2, 7, 64} {
				if got := parseChunks(raw, size); !reflect.DeepEqual(got, s) {
					t.Errorf("%s in chunks of %d:\n%+v\n%+v", name, size, got, s)
				}
			}
		}
	}
}
