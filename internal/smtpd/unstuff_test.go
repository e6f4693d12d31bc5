package smtpd

import (
	"bytes"
	"strings"
	"testing"
)

// naive is the plain reading of RFC 5321 section 4.5.2: octet by octet. rest is
// what is behind the end; ok is false when there is none.
func naive(in []byte) (body, rest []byte, ok bool) {
	lineStart := true
	for i := 0; i < len(in); i++ {
		if lineStart && in[i] == '.' {
			if bytes.HasPrefix(in[i:], []byte(".\r\n")) {
				return body, in[i+3:], true
			}
			lineStart = false
			continue
		}
		body = append(body, in[i])
		lineStart = bytes.HasSuffix(in[:i+1], []byte("\r\n")) && i > 0
	}
	return body, nil, false
}

// chunked gives in to an unstuffer in pieces of the given sizes, over and over.
func chunked(in []byte, sizes []byte) (body, rest []byte, ok bool) {
	buf := make([]byte, 512)
	var u unstuffer
	n := u.start(buf)
	for i := 0; len(in) > 0; i++ {
		size := 1
		if len(sizes) > 0 {
			size = 1 + int(sizes[i%len(sizes)])
		}
		m := copy(buf[n:], in[:min(size, len(in))])
		in = in[m:]
		out, used, done := u.scan(buf[:n+m])
		body = append(body, out...)
		if done {
			return body, append(append([]byte(nil), buf[used:n+m]...), in...), true
		}
		if n+m-used > 4 {
			panic("holds back more than 4 octets")
		}
		n = copy(buf, buf[used:n+m])
	}
	return body, nil, false
}

func compare(t *testing.T, in, sizes []byte) {
	t.Helper()
	body, rest, ok := naive(in)
	gotBody, gotRest, gotOK := chunked(in, sizes)
	if ok != gotOK {
		t.Fatalf("%q in %v: end found %v, want %v", in, sizes, gotOK, ok)
	}
	if ok && (!bytes.Equal(body, gotBody) || !bytes.Equal(rest, gotRest)) {
		t.Fatalf("%q in %v: %q + %q, want %q + %q", in, sizes, gotBody, gotRest, body, rest)
	}
	if !ok && !bytes.HasPrefix(body, gotBody) {
		t.Fatalf("%q in %v: %q, want a beginning of %q", in, sizes, gotBody, body)
	}
}

// smuggling are endings that are none, and content that must come through.
var smuggling = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r", "\r\n.\x00\r\n", "\r\n.\rX", "\r\n. \r\n", "\r\n..\r\n",
	"\r\n...", "\n\r\n", "\r\r\n", "\x00", ".\n", ".\r", "..\r\n", ".x", "\r\n.\n.\r\n", "\r\n\r.\r\n", "\r\n.\r\n"[:4], "\xff\xfe", "\r", "\n",
}

func TestUnstuffEndings(t *testing.T) {
	var inputs []string
	for _, a := range smuggling {
		inputs = append(inputs, a+"\r\n.\r\n", "x"+a+"\r\n.\r\nrest")
		for _, b := range smuggling {
			inputs = append(inputs, a+b+"\r\n.\r\n.\r\n", "x"+a+"y"+b)
		}
	}
	inputs = append(inputs, ".\r\n", ".\r\n.\r\n", "\r\r\n.\r\n", "..\r\n.\r\n", strings.Repeat("\r\n.", 300)+"\r\n.\r\nQUIT\r\n")
	for _, in := range inputs {
		for _, sizes := range [][]byte{nil, {1}, {2}, {3}, {4}, {0, 255}, {255}} {
			compare(t, []byte(in), sizes)
		}
	}
}

func FuzzUnstuff(f *testing.F) {
	f.Add([]byte("hello\r\n..dot\r\n.\r\nQUIT\r\n"), []byte{3, 0})
	f.Add([]byte("\r\n.\r\r\n.\r\n"), []byte{0})
	f.Add([]byte(".\r\n"), []byte{})
	for _, s := range smuggling {
		f.Add([]byte(s+"\r\n.\r\n"), []byte{1, 2})
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte) { compare(t, in, sizes) })
}
