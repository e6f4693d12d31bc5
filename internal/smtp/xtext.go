package smtp

import (
	"errors"
	"strings"
)

// ErrXtext means that a string is not xtext.
var ErrXtext = errors.New("smtp: bad xtext")

const hexDigits = "0123456789ABCDEF"

// EncodeXtext is the encoding of RFC 3461 section 4: printable ASCII but "+" and
// "=" as it is, everything else as "+HH".
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isXchar(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('+')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// DecodeXtext undoes EncodeXtext; ErrXtext. Hexadecimal digits must be in upper
// case, as the grammar has them.
func DecodeXtext(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isXchar(c):
			b.WriteByte(c)
		case c == '+' && i+2 < len(s):
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", ErrXtext
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		default:
			return "", ErrXtext
		}
	}
	return b.String(), nil
}

func isXchar(c byte) bool { return c > ' ' && c < 0x7f && c != '+' && c != '=' }
