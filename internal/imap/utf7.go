package imap

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Encoding is modified BASE64 (RFC 3501 section 5.1.3): "," for "/", no padding.
var utf7Encoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 writes a mailbox name in modified UTF-7 (RFC 3501 section 5.1.3).
func EncodeUTF7(name string) string {
	plain := true
	for i := 0; i < len(name) && plain; i++ {
		plain = name[i] >= ' ' && name[i] < 0x7f && name[i] != '&'
	}
	if plain {
		return name
	}
	var b strings.Builder
	var run []uint16
	flush := func() {
		if len(run) == 0 {
			return
		}
		raw := make([]byte, 0, 2*len(run))
		for _, u := range run {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(utf7Encoding.EncodeToString(raw))
		b.WriteByte('-')
		run = run[:0]
	}
	for _, r := range name {
		if r >= ' ' && r < 0x7f {
			flush()
			b.WriteByte(byte(r))
			if r == '&' {
				b.WriteByte('-')
			}
			continue
		}
		run = utf16.AppendRune(run, r)
	}
	flush()
	return b.String()
}

// DecodeUTF7 reads a name in modified UTF-7; ok is false when it is not well
// formed: 8-bit bytes, bad base64, lone surrogates, or characters encoded that
// stand for themselves.
func DecodeUTF7(s string) (name string, ok bool) {
	if strings.IndexByte(s, '&') < 0 {
		for i := 0; i < len(s); i++ {
			if s[i] < ' ' || s[i] >= 0x7f {
				return "", false
			}
		}
		return s, true
	}
	var b strings.Builder
	afterRun := -1 // where the last base64 run ended: two in a row are wrong
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			return "", false
		}
		if c != '&' {
			b.WriteByte(c)
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", false
		}
		code := s[i+1 : i+end]
		if code == "" {
			b.WriteByte('&')
		} else {
			if afterRun == i {
				return "", false
			}
			if !decodeRun(&b, code) {
				return "", false
			}
			afterRun = i + end + 1
		}
		i += end
	}
	return b.String(), true
}

func decodeRun(b *strings.Builder, code string) bool {
	raw, err := utf7Encoding.DecodeString(code)
	// Package base64 reads over line ends.
	if err != nil || len(raw)%2 != 0 || len(raw) == 0 || strings.ContainsAny(code, "\r\n") {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		switch {
		case utf16.IsSurrogate(r):
			if i+3 >= len(raw) {
				return false
			}
			r = utf16.DecodeRune(r, rune(raw[i+2])<<8|rune(raw[i+3]))
			if r == utf8.RuneError {
				return false
			}
			i += 2
		case r >= ' ' && r < 0x7f:
			return false
		}
		b.WriteRune(r)
	}
	return true
}
