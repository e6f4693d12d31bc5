package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"reflect"
	"strings"
	"testing"

	gomessage "github.com/emersion/go-message"
	"github.com/jhillyerd/enmime/v2"
	"pgregory.net/rapid"
)

// leaf is a part without parts: its type and its decoded body.
type leaf struct{ typ, body string }

// ourLeaves lists the leaves as this package sees them. A message inside counts
// as a leaf, as it does for the others.
func ourLeaves(raw []byte, p *Part) []leaf {
	if len(p.Parts) == 0 {
		body, err := io.ReadAll(DecodeTransfer(p.Encoding, bytes.NewReader(raw[p.BodyStart:p.BodyEnd])))
		if err != nil {
			body = []byte(err.Error())
		}
		return []leaf{{strings.ToLower(p.Type + "/" + p.Subtype), string(body)}}
	}
	var all []leaf
	for i := range p.Parts {
		all = append(all, ourLeaves(raw, &p.Parts[i])...)
	}
	return all
}

// goMessageLeaves lists the leaves as go-message sees them; false when it does
// not accept the message.
func goMessageLeaves(raw []byte) ([]leaf, bool) {
	e, err := gomessage.Read(bytes.NewReader(raw))
	if err != nil && !gomessage.IsUnknownCharset(err) {
		return nil, false
	}
	return goMessageWalk(e)
}

func goMessageWalk(e *gomessage.Entity) ([]leaf, bool) {
	mr := e.MultipartReader()
	if mr == nil {
		typ, _, err := e.Header.ContentType()
		body, rerr := io.ReadAll(e.Body)
		return []leaf{{typ, string(body)}}, err == nil && rerr == nil
	}
	var all []leaf
	for {
		part, err := mr.NextPart()
		if err == io.EOF {
			return all, true
		}
		if err != nil && !gomessage.IsUnknownCharset(err) {
			return nil, false
		}
		leaves, ok := goMessageWalk(part)
		if !ok {
			return nil, false
		}
		all = append(all, leaves...)
	}
}

// enmimeLeaves lists the leaves as enmime sees them; false when it complains.
func enmimeLeaves(raw []byte) ([]leaf, bool) {
	p := enmime.NewParser(enmime.DisableCharacterDetection(true), enmime.SetReadPartErrorPolicy(nil))
	root, err := p.ReadParts(bytes.NewReader(raw))
	if err != nil {
		return nil, false
	}
	var all []leaf
	ok := true
	root.DepthMatchAll(func(p *enmime.Part) bool {
		ok = ok && len(p.Errors) == 0
		if p.FirstChild == nil {
			all = append(all, leaf{strings.ToLower(p.ContentType), string(p.Content)})
		}
		return false
	})
	return all, ok
}

// entity draws a MIME entity and says what its leaves are.
func entity(t *rapid.T, depth int, digest bool) (string, []leaf) {
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		return multipartEntity(t, depth)
	}
	body := rapid.SampledFrom([]string{
		"", "hello", "two\r\nlines\r\n", "\r\n", "\r\n\r\nempty lines\r\n\r\n", "--\r\n-- \r\n--x\r\n", "-", "tabs\t and = signs", strings.Repeat("long ", 300),
		"ends in a dash\r\n-", "From here\r\n.\r\n", "\r\n--",
	}).Draw(t, "body")
	typ := rapid.SampledFrom([]string{"", "text/plain", "text/html", "application/octet-stream"}).Draw(t, "type")
	var h strings.Builder
	if typ != "" {
		fmt.Fprintf(&h, "Content-Type: %s%s\r\n", typ, rapid.SampledFrom([]string{"", "; charset=utf-8", ";\r\n\tname=\"a;b\""}).Draw(t, "params"))
	} else if typ = "text/plain"; digest {
		h.WriteString("Content-Type: text/plain\r\n")
	}
	encoded := body
	switch rapid.SampledFrom([]string{"", "7bit", "base64", "quoted-printable"}).Draw(t, "encoding") {
	case "7bit":
		h.WriteString("Content-Transfer-Encoding: 7bit\r\n")
	case "base64":
		h.WriteString("Content-Transfer-Encoding: base64\r\n")
		encoded = base64.StdEncoding.EncodeToString([]byte(body))
	case "quoted-printable":
		h.WriteString("Content-Transfer-Encoding: Quoted-Printable\r\n")
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Write([]byte(body))
		w.Close()
		encoded = b.String()
	}
	return h.String() + "\r\n" + encoded, []leaf{{typ, body}}
}

func multipartEntity(t *rapid.T, depth int) (string, []leaf) {
	boundary := rapid.SampledFrom([]string{"b", "b1", "=_x", "----=_Part 1", "a.b'c"}).Draw(t, "boundary") + fmt.Sprint("~", depth)
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/mixed;\r\n boundary=\"%s\"\r\n\r\n", boundary)
	b.WriteString(rapid.SampledFrom([]string{"", "preamble\r\n", "\r\n"}).Draw(t, "preamble"))
	var all []leaf
	for range rapid.IntRange(1, 4).Draw(t, "parts") {
		raw, leaves := entity(t, depth-1, false)
		b.WriteString("--" + boundary + "\r\n" + raw + "\r\n")
		all = append(all, leaves...)
	}
	b.WriteString("--" + boundary + "--" + rapid.SampledFrom([]string{"", "\r\n", "\r\nepilogue\r\n"}).Draw(t, "epilogue"))
	return b.String(), all
}

func TestDifferentialGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, want := entity(t, 3, false)
		raw = "From: a@b\r\nMIME-Version: 1.0\r\n" + raw
		s := Parse([]byte(raw))
		if got := ourLeaves([]byte(raw), &s.Root); !reflect.DeepEqual(got, want) {
			t.Fatalf("message\n%q\ngot  %q\nwant %q", raw, got, want)
		}
		if got, ok := goMessageLeaves([]byte(raw)); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("go-message sees\n%q\nin\n%q", got, raw)
		}
		got, ok := enmimeLeaves([]byte(raw))
		if !ok || len(got) != len(want) {
			return // it complains of parts without a header, say
		}
		for i := range got {
			if got[i].body != want[i].body {
				t.Fatalf("enmime sees part %d as\n%q\nin\n%q", i, got[i], raw)
			}
		}
	})
}

func TestDifferentialVectors(t *testing.T) {
	agree := map[string]int{}
	for name, raw := range vectors(t) {
		s := Parse(raw)
		ours := ourLeaves(raw, &s.Root)
		for who, read := range map[string]func([]byte) ([]leaf, bool){"go-message": goMessageLeaves, "enmime": enmimeLeaves} {
			theirs, ok := read(raw)
			if !ok {
				continue
			}
			if reflect.DeepEqual(ours, theirs) {
				agree[who]++
			} else {
				t.Logf("%s: %s sees\n%q\nwe see\n%q", name, who, theirs, ours)
			}
		}
	}
	t.Log(agree)
}

func TestChunkingOfGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, _ := entity(t, 3, false)
		b := []byte(raw)
		switch rapid.IntRange(0, 4).Draw(t, "damage") {
		case 0: // cut somewhere
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "length")]
		case 1: // bare LFs
			b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		case 2: // a byte changed
			if len(b) > 0 {
				b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.SampledFrom([]byte{0, '\r', '\n', '-', ':', 0xe9}).Draw(t, "byte")
			}
		}
		want := Parse(b)
		checkSummary(t, b, want)
		p := NewParser(Options{})
		for rest := b; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 50)).Draw(t, "chunk")
			p.Write(rest[:n])
			rest = rest[n:]
		}
		if got := p.Finish(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q in chunks:\n%+v\nwant\n%+v", b, got, want)
		}
	})
}
