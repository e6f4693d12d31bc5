package message

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// monsters are messages that press on one bound each.
func monsters() map[string][]byte {
	m := map[string][]byte{}
	var b strings.Builder

	for i := range 300 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%03d\r\n\r\n--b%03d\r\n", i, i)
	}
	m["deep multiparts"] = []byte(b.String() + "\r\ntext")

	b.Reset()
	for range 300 {
		b.WriteString("Subject: " + strings.Repeat("s", 500) + "\r\nContent-Type: message/rfc822\r\n\r\n")
	}
	m["deep messages"] = []byte(b.String())

	b.Reset()
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 12000 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: text/plain; name=\"file %d.txt\"\r\n\r\n%d\r\n", i, i)
	}
	m["many parts"] = []byte(b.String())

	b.Reset()
	b.WriteString("Content-Type: multipart/digest; boundary=b\r\n\r\n")
	for range 2000 {
		b.WriteString("--b\r\n\r\nSubject: " + strings.Repeat("grüße ", 50) + "\r\nTo: " + strings.Repeat("a@b, ", 100) + "\r\n\r\nx\r\n")
	}
	m["many messages"] = []byte(b.String())

	m["long subject"] = []byte("Subject: " + strings.Repeat("=?utf-8?q?gr=C3=BC=C3=9Fe?= ", 10000) + "\r\n\r\n")
	m["long subject in UTF-8"] = []byte("Subject: x" + strings.Repeat("ü", 200000) + "\r\n\r\n")
	m["many recipients"] = []byte("To: g: " + strings.Repeat("\"Some Name\" <some.address@example.test>,\r\n ", 20000) + ";\r\n\r\n")
	m["many references"] = []byte("References: " + strings.Repeat("<some.message.id@example.test>\r\n ", 5000) + "\r\n\r\n")
	m["long references"] = []byte("References: <" + strings.Repeat("x", 60000) + "> <a@b>\r\n\r\n")
	m["many parameters"] = []byte("Content-Type: text/plain" + strings.Repeat("; name=value", 20000) + "\r\n\r\n")
	m["many continuations"] = []byte("Content-Type: text/plain" + strings.Repeat("; n*1*=%ff%ff", 20000) + "; n*0*=koi8-r''%ff\r\n\r\n")
	m["many fields"] = []byte(strings.Repeat("To: a@b\r\nReceived: x\r\n", 50000) + "\r\n\r\n")
	m["long header"] = []byte("A: " + strings.Repeat("x", 1<<20) + "\r\nSubject: late\r\n\r\nbody\r\n")
	m["long boundary"] = []byte("Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 2000) + "\r\n\r\n--" + strings.Repeat("b", 2000) + "\r\n\r\nx\r\n")
	for _, s := range []string{"(", "\"", "<", "[", ":", "\\\"", " ", "a. ", "\" ", "@", "=?", "=?a?q?", "a<", "--\r\n", "\r\n--", "(a", "<@", "()"} {
		m["repeated "+s] = []byte("From: " + strings.Repeat(s, 30000) + "\r\nContent-Type: a/b; c=" + strings.Repeat(s, 30000) + "\r\n\r\n" + strings.Repeat(s, 30000))
	}
	return m
}

func TestBounds(t *testing.T) {
	for name, raw := range monsters() {
		start := time.Now()
		s := Parse(raw)
		checkSummary(t, raw, s)
		if got := parseChunks(raw, 1000); !reflect.DeepEqual(got, s) {
			t.Errorf("%s: chunks give another Summary", name)
		}
		for _, list := range s.Envelope.lists() {
			for _, a := range *list {
				DecodeText(a.Name)
			}
		}
		if d := time.Since(start); d > 20*time.Millisecond {
			t.Log(name, d, len(s.AppendBinary(nil)))
		}
		if d := time.Since(start); d > 2*time.Minute { // quadratic time, not a slow machine
			t.Errorf("%s takes %v", name, d)
		}
	}
}

func TestTruncation(t *testing.T) {
	m := monsters()
	s := Parse(m["many recipients"])
	to := s.Envelope.To
	if len(to) < 100 || to[0].Group != GroupStart || to[len(to)-1].Group != GroupEnd {
		t.Errorf("%d recipients, the last %+v", len(to), to[len(to)-1])
	}
	s = Parse(m["long subject"])
	if got := DecodeText(s.Envelope.Subject); len(got) < 1000 || strings.Trim(got, "grüße") != "" {
		t.Errorf("subject of %d bytes ends in %q", len(got), got[max(0, len(got)-50):])
	}
	s = Parse(m["long subject in UTF-8"])
	if got := s.Envelope.Subject; len(got) < 1000 || !utf8.ValidString(got) {
		t.Errorf("subject of %d bytes, valid UTF-8: %v", len(got), utf8.ValidString(got))
	}
	s = Parse(m["many parts"])
	if n := len(s.Root.Parts); n != MaxParts-1 {
		t.Errorf("%d parts", n)
	}
	if !s.Bounded {
		t.Error("not said to be more than is here")
	}
	if last := s.Root.Parts[MaxParts-2]; bytes.Contains(m["many parts"][last.BodyStart:last.BodyEnd], []byte("--b")) {
		t.Error("the last part swallows what follows it")
	}
	s = Parse(m["long references"])
	if len(s.References) != 1 || s.References[0] != "a@b" {
		t.Errorf("references %.100q", s.References)
	}
	s = Parse(m["many references"])
	if len(s.References) != maxReferences {
		t.Errorf("%d references", len(s.References))
	}
}

// What has no room in the encoding is named, and the rest is there.
func TestKept(t *testing.T) {
	m := monsters()
	for name, want := range map[string]Kept{"deep multiparts": KeptWhole, "many messages": KeptEnvelope, "many recipients": KeptTraits, "long subject": KeptTraits} {
		s := Parse([]byte("Message-ID: <" + strings.Repeat("m", 5000) + "@x>\r\nReferences: <a@b> <c@d>\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n" + string(m[name])))
		back, err := DecodeSummary(s.AppendBinary(nil))
		if err != nil || back.Kept != want {
			t.Fatalf("%s: kept %d, want %d; %v", name, back.Kept, want, err)
		}
		if back.Size != s.Size || back.Root.BodyStart != s.Root.BodyStart || !back.Envelope.Time.Equal(s.Envelope.Time) ||
			back.ID() != s.ID() || len(back.ID()) != maxID || back.References[0] != "a@b" {
			t.Errorf("%s: %+v", name, back)
		}
	}
}

// TestFirstVersion reads rows that said nothing of what was cut from them.
func TestFirstVersion(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want Kept
	}{
		{"Subject: x\r\n\r\nbody\r\n", KeptWhole},
		{"Subject: x\r\nX: " + strings.Repeat("x", 19<<10) + "\r\n\r\nbody\r\n", KeptWhole},
		{"Subject: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\nbody\r\n", KeptTraits},
		{"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n\r\n", 14), KeptWhole},
		{"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n\r\n", 15), KeptTraits},
	} {
		b := Parse([]byte(tt.raw)).AppendBinary(nil)
		b[0] = 1
		s, err := DecodeSummary(b)
		if err != nil || s.Kept != tt.want || s.Envelope.Subject != "x" {
			t.Errorf("%.60q: %v, %+v", tt.raw, err, s)
		}
	}
}

func TestDecodeSummaryRefuses(t *testing.T) {
	good := Parse([]byte("Subject: x\r\n\r\nbody\r\n")).AppendBinary(nil)
	for n := range good {
		if _, err := DecodeSummary(good[:n]); err == nil {
			t.Errorf("accepts %d bytes of %d", n, len(good))
		}
	}
	if _, err := DecodeSummary(append(bytes.Clone(good), 0)); err == nil {
		t.Error("accepts bytes after the end")
	}
	later := bytes.Clone(good)
	later[0]++
	if _, err := DecodeSummary(later); err != ErrVersion {
		t.Errorf("a later version gives %v", err)
	}
}

// TestLinear gives readers of values what makes them look for the same missing
// end again and again. Four megabytes are read at once in a moment when every
// byte is looked at a few times, and in hours when it is looked at for each other.
func TestLinear(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, 4<<20/len(unit)) }
	for _, unit := range []string{";(", "(;", "\"(=", ";(a", "(=\"", "a=(;", `a="\`} {
		if _, params := parseParams("text/plain;" + fill(unit)); len(params) > maxParams {
			t.Errorf("%q: %d parameters", unit, len(params))
		}
	}
	for _, unit := range []string{"=?u?q?x", "=?u?b?!", "=?u?b?", "=?u?", "=?", "=?u?q?"} {
		DecodeText(fill(unit))
		DecodeText(fill(unit) + "?=")
	}
}

func TestCommentWithoutEnd(t *testing.T) {
	_, params := parseParams(`text/plain; (no end; charset=utf-8; name="a b"; format=flowed`)
	want := []Param{{Name: "charset", Value: "utf-8"}, {Name: "name", Value: "a b"}, {Name: "format", Value: "flowed"}}
	if !reflect.DeepEqual(params, want) {
		t.Errorf("%+v", params)
	}
}
