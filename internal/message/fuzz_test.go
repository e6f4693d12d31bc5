package message

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParser(f *testing.F) {
	for _, tt := range structures {
		f.Add([]byte(tt.raw), uint8(3))
		f.Add([]byte(crlf(tt.raw)), uint8(1))
	}
	for _, raw := range vectors(f) {
		f.Add(raw, uint8(7))
	}
	f.Fuzz(func(t *testing.T, raw []byte, chunk uint8) {
		s := Parse(raw)
		checkSummary(t, raw, s)
		if got := parseChunks(raw, int(chunk)+1); !reflect.DeepEqual(got, s) {
			t.Fatalf("chunks of %d give\n%+v\nwant\n%+v", int(chunk)+1, got, s)
		}
	})
}

func FuzzDecodeSummary(f *testing.F) {
	for _, raw := range vectors(f) {
		f.Add(Parse(raw).AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSummary(b)
		if err != nil || len(b) > MaxEncoded/2 {
			return
		}
		if s.Root.HeaderStart > s.Root.BodyStart || s.Root.BodyEnd > s.Size {
			t.Fatalf("offsets outside the message: %+v", s)
		}
		again, err := DecodeSummary(s.AppendBinary(nil))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("round trip: %v\n%+v\n%+v", err, s, again)
		}
	})
}

func FuzzAddressList(f *testing.F) {
	for _, tt := range addressLists {
		f.Add(tt.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		open := false
		for _, a := range ParseAddressList(raw) {
			switch {
			case a.Group == GroupStart && open, a.Group == GroupEnd && !open:
				t.Fatalf("groups do not match: %q", raw)
			case a.Group != GroupNone:
				open = a.Group == GroupStart
			}
			if strings.ContainsAny(a.Name+a.Mailbox+a.Host, "\r\n\x00") {
				t.Fatalf("control characters in %+v", a)
			}
		}
		if open {
			t.Fatalf("group stays open: %q", raw)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, tt := range dates {
		f.Add(tt.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		d, ok := ParseDate(raw)
		if ok != !d.IsZero() && ok {
			t.Fatalf("%q is a date but zero", raw)
		}
		if !ok || d.Year() > 9999 {
			return
		}
		again, ok := ParseDate(FormatDate(d))
		if !ok || again.Unix() != d.Unix() {
			t.Fatalf("%q is %v, but that reads %v", raw, d, again)
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	for _, tt := range texts {
		f.Add(tt.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		s := DecodeText(raw)
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
			t.Fatalf("%q gives %q", raw, s)
		}
		want := oneLine(raw)
		if got := DecodeText(EncodeText(raw)); got != want {
			// White space around an encoded word is not kept exactly.
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
				t.Fatalf("%q comes back as %q from %q", want, got, EncodeText(raw))
			}
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, tt := range paramLists {
		f.Add(tt.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, params := parseParams(unfold(raw))
		for _, p := range params {
			if p.Name == "" {
				t.Fatalf("%q has a parameter without a name", raw)
			}
		}
		if v := oneLine(raw); len(v) < 1000 {
			var back Part
			_, back.Params = parseParams("a/b; " + EncodeParam(Param{"n", v}))
			if len(back.Params) != 1 || back.Param("n") != v {
				t.Fatalf("%q comes back as %q from %q", v, back.Params, EncodeParam(Param{"n", v}))
			}
		}
	})
}

func FuzzTransfer(f *testing.F) {
	f.Add("quoted-printable", "utf-8", []byte("a=C3=A9 \r\nb=\r\nc= \n=="))
	f.Add("base64", "iso-8859-1", []byte("4OHi\r\n4+Tl=="))
	f.Add("7bit", "iso-2022-jp", []byte("\x1b$B$3\x1b(B"))
	f.Add("8bit", "", []byte("gr\xfc\xdfe und grüße"))
	f.Fuzz(func(t *testing.T, encoding, charset string, raw []byte) {
		whole, err := io.ReadAll(CharsetReader(charset, DecodeTransfer(encoding, bytes.NewReader(raw))))
		if err != nil {
			t.Skip(err) // a decoder of x/text that gives up
		}
		if !utf8.Valid(whole) {
			t.Fatalf("not UTF-8: %q", whole)
		}
		slow, err := io.ReadAll(DecodeTransfer(encoding, &oneByte{raw}))
		fast, _ := io.ReadAll(DecodeTransfer(encoding, bytes.NewReader(raw)))
		if err != nil || !bytes.Equal(slow, fast) {
			t.Fatalf("%q or %q, %v", fast, slow, err)
		}
	})
}

// oneByte reads a byte at a time.
type oneByte struct{ b []byte }

func (o *oneByte) Read(p []byte) (int, error) {
	if len(o.b) == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p[0], o.b = o.b[0], o.b[1:]
	return 1, nil
}
