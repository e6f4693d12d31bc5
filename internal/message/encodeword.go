package message

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWord is the length of an encoded word (RFC 2047 section 2).
const maxWord = 75

// EncodeText makes ASCII of an unstructured text: as it is when it can be, else
// encoded words (RFC 2047) of UTF-8 with spaces between them. Line ends and
// other control characters become spaces.
func EncodeText(s string) string {
	s = oneLine(s)
	if plainText(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if quotedLen(s) <= base64.StdEncoding.EncodedLen(len(s)) {
		return encodeWords(s, "=?utf-8?q?", quotedLen, encodeQ)
	}
	return encodeWords(s, "=?utf-8?b?", func(s string) int {
		return base64.StdEncoding.EncodedLen(len(s))
	}, func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })
}

// encodeWords cuts s into words that are short enough, between characters.
func encodeWords(s, prefix string, length func(string) int, encode func(string) string) string {
	var b strings.Builder
	for s != "" {
		n := 0
		for n < len(s) {
			_, size := utf8.DecodeRuneInString(s[n:])
			if n > 0 && len(prefix)+length(s[:n+size])+2 > maxWord {
				break
			}
			n += size
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(prefix)
		b.WriteString(encode(s[:n]))
		b.WriteString("?=")
		s = s[n:]
	}
	return b.String()
}

// plainText reports whether a text can stand in a header unencoded: printable
// ASCII, nothing like an encoded word, no word too long to fold.
func plainText(s string) bool {
	if strings.Contains(s, "=?") {
		return false
	}
	word := 0
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
		if word++; s[i] == ' ' {
			word = 0
		}
		if word > 900 {
			return false
		}
	}
	return true
}

// oneLine turns control characters into spaces and trims.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// quotedPlain reports whether a byte stands for itself in the "Q" encoding,
// anywhere in a header (RFC 2047 section 5 rule 3).
func quotedPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

func quotedLen(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if n++; !quotedPlain(s[i]) && s[i] != ' ' {
			n += 2
		}
	}
	return n
}

const hexDigits = "0123456789ABCDEF"

func encodeQ(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			b.WriteByte('_')
		case quotedPlain(c):
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// EncodePhrase makes a display name: atoms as they are, a quoted-string when
// that is enough (RFC 5322 section 3.2.4), else encoded words. With raw, UTF-8
// stays (RFC 6532).
func EncodePhrase(name string, raw bool) string {
	name = oneLine(name)
	if raw && utf8.ValidString(name) {
		return quote(name)
	}
	if plainText(name) && len(name) < 900 {
		return quote(name)
	}
	return EncodeText(name)
}

// quote quotes s unless it is made of atoms and single spaces.
func quote(s string) string {
	atoms := s != "" && !strings.Contains(s, "  ")
	for i := 0; i < len(s) && atoms; i++ {
		atoms = s[i] >= utf8.RuneSelf || s[i] == ' ' || isAtext(s[i])
	}
	if atoms {
		return s
	}
	return quoteString(s)
}

func quoteString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// isAtext reports whether c may stand in an atom (RFC 5322 section 3.2.3).
func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// FormatAddress writes an address for a header field; groups are not written
// here. With raw, UTF-8 in the name stays (RFC 6532).
func FormatAddress(a Address, raw bool) string {
	local := oneLine(a.Mailbox)
	for word := range strings.SplitSeq(local, ".") {
		if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < utf8.RuneSelf && !isAtext(byte(r)) }) {
			local = quoteString(local)
			break
		}
	}
	spec := local
	if host := strings.ReplaceAll(oneLine(a.Host), ">", ""); host != "" {
		spec += "@" + host
	}
	if a.Name == "" {
		if spec == `""` {
			return "<>"
		}
		return spec
	}
	return EncodePhrase(a.Name, raw) + " <" + spec + ">"
}

// maxParam is how long an encoded parameter value may be in one piece.
const maxParam = 60

// EncodeParam writes a parameter of a MIME field: name=token, name="text", or
// the forms of RFC 2231 when it is not ASCII or too long for one line.
func EncodeParam(p Param) string {
	value := oneLine(p.Value)
	switch {
	case isToken(value) && len(value) <= maxParam:
		return p.Name + "=" + value
	case plainText(value) && len(value) <= maxParam:
		return p.Name + "=" + quoteString(value)
	}
	enc := percentEncode(strings.ToValidUTF8(value, "\uFFFD"))
	if len(enc) <= maxParam {
		return p.Name + "*=utf-8''" + enc
	}
	var b strings.Builder
	for i := 0; enc != ""; i++ {
		n := min(maxParam, len(enc))
		for n < len(enc) && n > maxParam-3 && (enc[n-1] == '%' || enc[n-2] == '%') { // not inside %XX
			n--
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Name)
		b.WriteByte('*')
		b.WriteString(strconv.Itoa(i))
		b.WriteString("*=")
		if i == 0 {
			b.WriteString("utf-8''")
		}
		b.WriteString(enc[:n])
		enc = enc[n:]
	}
	return b.String()
}

// percentEncode encodes all but the attribute-chars of RFC 2231 section 7.
func percentEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 127 && strings.IndexByte(`*'%()<>@,;:\"/[]?=`, c) < 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}
