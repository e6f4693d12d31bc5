package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// unbinary converts and checks what holds of every converted message.
func unbinary(t fataler, raw string) (string, bool, error) {
	t.Helper()
	u, err := NewUnbinary(strings.NewReader(raw), int64(len(raw)))
	if err != nil {
		return "", false, err
	}
	out, err := io.ReadAll(u.Reader())
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(out)) != u.Size() {
		t.Fatalf("%d bytes, Size says %d", len(out), u.Size())
	}
	lines, eight, _ := inLines(bytes.NewReader(out))
	if !lines || eight != u.EightBit {
		t.Fatalf("in lines: %v, eight bits: %v, told %v: %q", lines, eight, u.EightBit, out)
	}
	before, after := Parse([]byte(raw)), Parse(out)
	if a, b := innerLeaves([]byte(raw), &before.Root), innerLeaves(out, &after.Root); !reflect.DeepEqual(a, b) {
		t.Fatalf("another message: %q\n%q\n%q", a, b, out)
	}
	return string(out), u.EightBit, nil
}

// innerLeaves lists the leaves, of messages inside as well.
func innerLeaves(raw []byte, p *Part) []leaf {
	var all []leaf
	for i := range p.Parts {
		all = append(all, innerLeaves(raw, &p.Parts[i])...)
	}
	switch {
	case p.Message != nil:
		return append(all, innerLeaves(raw, &p.Message.Root)...)
	case len(p.Parts) > 0:
		return all
	}
	return ourLeaves(raw, p)
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func TestUnbinary(t *testing.T) {
	long := strings.Repeat("x", 999)
	for _, tc := range []struct {
		name, in, want string
		eight          bool
	}{
		{"lines stay", "Subject: a\r\n\r\nb\r\n", "Subject: a\r\n\r\nb\r\n", false},
		{"only the label", "Content-Transfer-Encoding: BINARY\r\nX: y\r\n\r\n\xe4\r\n", "Content-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n\xe4\r\n", true},
		{"a folded label", "A: b\r\nContent-Transfer-Encoding:\r\n  binary (c)\r\nX: y\r\n\r\n\x00", "A: b\r\nContent-Transfer-Encoding: base64\r\nX: y\r\n\r\nAA==\r\n", false},
		{"no label", "A: b\r\n\r\na\nb", "A: b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n", false},
		{"a long line", "MIME-Version: 1.0\r\n\r\n" + long, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, eight, err := unbinary(t, tc.in)
			if err != nil || tc.want != "" && out != tc.want || eight != tc.eight {
				t.Errorf("%q, %v, %v", out, eight, err)
			}
		})
	}
}

// Parts that are fine are left alone; those inside of parts are found.
func TestUnbinaryParts(t *testing.T) {
	in := "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\nbefore\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nfine\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\r\xff\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nSubject: in\r\n\r\na\nb\r\n" +
		"--b--\r\nafter\r\n"
	want := "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nbefore\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nfine\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAA3/\r\n\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: in\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n\r\n" +
		"--b--\r\nafter\r\n"
	u, err := NewUnbinary(strings.NewReader(in), int64(len(in)))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(u.Reader())
	if string(out) != want || u.EightBit {
		t.Errorf("%q\nwant %q", out, want)
	}
}

func TestUnbinaryCannot(t *testing.T) {
	for name, in := range map[string]string{
		"header":                    "Subject: \x00\r\n\r\na",
		"signed":                    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\na\nb\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
		"preamble":                  "Content-Type: multipart/mixed; boundary=b\r\n\r\na\nb\r\n--b\r\n\r\nx\r\n--b--\r\n",
		"broken base64":             "Content-Transfer-Encoding: base64\r\n\r\nYQ==\n",
		"a message that is encoded": "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\n",
		"no boundary":               "Content-Type: multipart/mixed\r\n\r\na\nb",
	} {
		if _, _, err := unbinary(t, in); !errors.Is(err, ErrUnbinary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("disk")
	if _, err := NewUnbinary(failingReader{broken}, 10); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// Any bytes in any parts come out as they went in.
func TestUnbinaryKeepsContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_q\"\r\n\r\n")
		for i := range rapid.IntRange(1, 4).Draw(t, "parts") {
			body := rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "body")
			fmt.Fprintf(&b, "--=_q\r\nContent-Type: application/x%d\r\nContent-Transfer-Encoding: binary\r\n\r\n%s\r\n", i, body)
		}
		b.WriteString("--=_q--\r\n")
		out, _, err := unbinary(t, b.String())
		if err != nil {
			t.Fatal(err)
		}
		ours := Parse([]byte(out))
		if theirs, ok := goMessageLeaves([]byte(out)); ok {
			for i, l := range ourLeaves([]byte(out), &ours.Root) {
				if theirs[i] != l {
					t.Fatalf("go-message reads %q, we %q", theirs[i], l)
				}
			}
		}
	})
}

func FuzzUnbinary(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\r\n--b--\r\n"))
	f.Add([]byte("A: b\r\n\r\na\nb"))
	f.Add([]byte("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nA: b\r\n\r\n\r"))
	f.Fuzz(func(t *testing.T, raw []byte) { _, _, _ = unbinary(t, string(raw)) })
}
