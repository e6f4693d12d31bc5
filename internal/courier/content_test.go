package courier

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// Whatever the content and however it is cut into blocks: a server that reads
// by the book gets it back, and what comes after it.
func FuzzStuffing(f *testing.F) {
	for _, s := range []string{"", ".", "..", "\r\n.\r\n", "a\r\n.\r\n..\r\n", "\n.\n", "\r.\r", "\r\r\n.\r", "x\r\n.", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\n\x00.\x00\r"} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, block uint8) {
		s := newStuffer()
		var wire []byte
		for rest := content; len(rest) > 0; {
			n := min(len(rest), int(block)+1)
			wire = append(wire, s.append(nil, rest[:n])...)
			rest = rest[n:]
		}
		wire = append(wire, s.end()...)
		r := bufio.NewReader(strings.NewReader(string(wire) + "QUIT\r\n"))
		got, err := readData(r)
		if err != nil {
			t.Fatalf("%q: no end in %q", content, wire)
		}
		want := string(content)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got != want {
			t.Fatalf("%q became %q", want, got)
		}
		if next, _ := r.ReadString('\n'); next != "QUIT\r\n" {
			t.Fatalf("%q: %q follows the message", content, next)
		}
		if bad, err := smuggles(bytes.NewReader(content)); err != nil || !bad && sloppyEnd(wire) {
			t.Fatalf("%q: a sloppy server sees an end inside, and we did not notice (%v)", content, err)
		}
	})
}

// sloppyEnd reports whether a server for which any CR or LF ends a line, and NUL
// is nothing, sees a line of one dot before the end.
func sloppyEnd(wire []byte) bool {
	lines := strings.FieldsFunc(strings.ReplaceAll(string(wire), "\x00", ""), func(r rune) bool { return r == '\r' || r == '\n' })
	for _, line := range lines[:len(lines)-1] {
		if line == "." {
			return true
		}
	}
	return false
}
