package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// DecodeText makes the raw text of an unstructured field or a display name
// readable: encoded words (RFC 2047) are decoded, white space between adjacent
// ones goes, and a character split over two of the same charset is whole again.
// Broken words stay as they are. Raw bytes that are not UTF-8 count as
// windows-1252 (RFC 7103 section 7.7). The result is valid UTF-8.
func DecodeText(raw string) string {
	raw = unfold(raw)
	if !strings.Contains(raw, "=?") {
		return validText(raw)
	}
	var d textDecoder
	d.out.Grow(len(raw))
	noEnd := false
	for raw != "" {
		i := strings.Index(raw, "=?")
		if i < 0 {
			break
		}
		w, n, ok := encodedWord(raw[i:], &noEnd)
		if !ok {
			d.plain(raw[:i+2])
			raw = raw[i+2:]
			continue
		}
		d.plain(raw[:i])
		d.word(w)
		raw = raw[i+n:]
	}
	d.plain(raw)
	d.flush()
	return d.out.String()
}

// textDecoder collects the bytes of adjacent words of one charset.
type textDecoder struct {
	out     strings.Builder
	charset string
	bytes   []byte
	open    bool // a word was the last thing
}

// plain writes text between words; white space alone between two words goes,
// so it waits for what comes next.
func (d *textDecoder) plain(s string) {
	if s == "" || d.open && strings.Trim(s, " \t") == "" {
		return
	}
	d.flush()
	d.out.WriteString(validText(s))
}

func (d *textDecoder) word(w word) {
	if d.open && !strings.EqualFold(w.charset, d.charset) {
		d.flush()
	}
	d.open, d.charset = true, w.charset
	d.bytes = append(d.bytes, w.text...)
}

func (d *textDecoder) flush() {
	if d.open {
		text := DecodeCharset(d.charset, d.bytes)
		for _, c := range text {
			if c != '\r' && c != '\n' && c != 0 { // one line stays one line
				d.out.WriteByte(c)
			}
		}
		d.bytes, d.open = d.bytes[:0], false
	}
}

type word struct {
	charset string
	text    []byte
}

// encodedWord reads the encoded word that s begins with, n bytes long. Spaces in
// the text and padding that is wrong or missing are tolerated, and question marks
// in the "Q" encoding. noEnd remembers that no "?=" follows, so that it is not
// looked for again at every word.
func encodedWord(s string, noEnd *bool) (w word, n int, ok bool) {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok || len(rest) < 2 || rest[1] != '?' || charset == "" || strings.ContainsAny(charset, " \t=") {
		return w, 0, false
	}
	var end int
	switch text := rest[2:]; rest[0] {
	case 'Q', 'q':
		if *noEnd {
			return w, 0, false
		}
		if end = strings.Index(text, "?="); end < 0 {
			*noEnd = true
			return w, 0, false
		}
		w.text = decodeQ(text[:end])
	case 'B', 'b':
		if end = strings.IndexByte(text, '?'); end < 0 || !strings.HasPrefix(text[end:], "?=") {
			return w, 0, false
		}
		if w.text, ok = decodeB(text[:end]); !ok {
			return w, 0, false
		}
	default:
		return w, 0, false
	}
	w.charset = charset
	return w, 2 + len(charset) + 1 + 2 + end + 2, true
}

// decodeQ decodes the "Q" encoding (RFC 2047 section 4.2).
func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// decodeB decodes the "B" encoding (RFC 2047 section 4.1); padding may be
// missing, or stand in the middle where two words were joined.
func decodeB(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s)*3/4)
	for piece := range strings.SplitSeq(s, "=") {
		piece = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' {
				return -1
			}
			return r
		}, piece)
		b, err := base64.RawStdEncoding.DecodeString(piece[:len(piece)-lonely(len(piece))])
		if err != nil {
			return nil, false
		}
		out = append(out, b...)
	}
	return out, true
}

// lonely is 1 when a base64 text has one character too many.
func lonely(n int) int {
	if n%4 == 1 {
		return 1
	}
	return 0
}

// validText returns s as UTF-8.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(DecodeCharset("", []byte(s)))
}
