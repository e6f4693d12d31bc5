package imap

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendNumber writes a number.
func AppendNumber(b []byte, n uint32) []byte { return strconv.AppendUint(b, uint64(n), 10) }

// maxQuoted is the longest string sent quoted; longer ones are literals.
const maxQuoted = 1000

// quotable reports whether s can stand between quotes as it is, or with
// backslashes: plain is false when it needs them.
func quotable(s string, utf8OK bool) (ok, plain bool) {
	if len(s) > maxQuoted {
		return false, false
	}
	plain = true
	eight := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			plain = false
		case c == '\r' || c == '\n' || c == 0:
			return false, false
		case c >= 0x80:
			eight = true
		}
	}
	if eight && (!utf8OK || !utf8.ValidString(s)) {
		return false, false
	}
	return true, plain
}

// AppendString writes s quoted, or as a literal when quotes cannot hold it:
// line ends, 8-bit text (unless utf8OK: the client has enabled UTF-8), or length.
// NUL, which neither may hold, is left out.
func AppendString(b []byte, s string, utf8OK bool) []byte {
	ok, plain := quotable(s, utf8OK)
	switch {
	case ok && plain:
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	case ok:
		b = append(b, '"')
		for i := 0; i < len(s); i++ {
			if s[i] == '"' || s[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, s[i])
		}
		return append(b, '"')
	}
	if strings.IndexByte(s, 0) >= 0 {
		return AppendString(b, strings.ReplaceAll(s, "\x00", ""), utf8OK)
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, "}\r\n"...)
	return append(b, s...)
}

// AppendNString writes NIL for the empty string.
func AppendNString(b []byte, s string, utf8OK bool) []byte {
	if s == "" {
		return append(b, "NIL"...)
	}
	return AppendString(b, s, utf8OK)
}

// AppendAString writes s as an atom where that is possible.
func AppendAString(b []byte, s string, utf8OK bool) []byte {
	if s == "" || strings.EqualFold(s, "NIL") {
		return AppendString(b, s, utf8OK)
	}
	for i := 0; i < len(s); i++ {
		if !isAtomChar(s[i]) {
			return AppendString(b, s, utf8OK)
		}
	}
	return append(b, s...)
}

// AppendMailbox writes a mailbox name: UTF-8 for a client that enabled it,
// modified UTF-7 for others (RFC 9051 section 5.1, RFC 3501 section 5.1.3).
func AppendMailbox(b []byte, name string, utf8OK bool) []byte {
	if !utf8OK {
		name = EncodeUTF7(name)
	}
	return AppendAString(b, name, utf8OK)
}

// DecodeMailbox reads a mailbox name that a client sent. From a client that has
// not enabled UTF-8 it is modified UTF-7, or else 8-bit text, which is taken for
// UTF-8: clients that only look at the capabilities send that.
func DecodeMailbox(s string, utf8OK bool) (string, bool) {
	for i := 0; i < len(s) && !utf8OK; i++ {
		utf8OK = s[i] >= 0x80
	}
	if utf8OK {
		return s, utf8.ValidString(s)
	}
	return DecodeUTF7(s)
}
