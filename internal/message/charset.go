package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"
)

// DecodeCharset converts text to UTF-8. A charset that is absent, unknown or
// US-ASCII means UTF-8 when the bytes are that, and else windows-1252 (RFC 7103
// section 7.7: what senders of unlabelled bytes mean most often). The result is
// always valid UTF-8; it may be text itself.
func DecodeCharset(charset string, text []byte) []byte {
	enc := lookupCharset(charset)
	if enc == nil {
		if utf8.Valid(text) {
			return text
		}
		enc = charmap.Windows1252
		if isUTF8(charset) {
			return bytes.ToValidUTF8(text, []byte("\uFFFD"))
		}
	}
	out, err := enc.NewDecoder().Bytes(text)
	if err != nil {
		return bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	return out
}

// CharsetReader returns a reader of the text of r in UTF-8. What cannot be
// decoded becomes U+FFFD. An unknown or absent charset is judged as
// DecodeCharset does, line by line, so that text of any size streams.
func CharsetReader(charset string, r io.Reader) io.Reader {
	if enc := lookupCharset(charset); enc != nil {
		return transform.NewReader(r, enc.NewDecoder())
	}
	return transform.NewReader(r, &guess{strict: isUTF8(charset)})
}

// UsualCharsets are the MIME names of those that can be decoded which people use,
// best first. Many more names and aliases are known.
func UsualCharsets() []string {
	return strings.Fields(`UTF-8 US-ASCII
		ISO-8859-1 ISO-8859-2 ISO-8859-3 ISO-8859-4 ISO-8859-5 ISO-8859-6 ISO-8859-7 ISO-8859-8 ISO-8859-9
		ISO-8859-10 ISO-8859-13 ISO-8859-14 ISO-8859-15 ISO-8859-16
		windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258
		windows-874 TIS-620 KOI8-R KOI8-U IBM866 GB2312 GBK GB18030 Big5 Shift_JIS EUC-JP ISO-2022-JP EUC-KR`)
}

// KnownCharset reports whether a charset's name is one that can be decoded.
func KnownCharset(charset string) bool {
	return isUTF8(charset) || isASCII(charset) || lookupCharset(charset) != nil
}

func isUTF8(charset string) bool {
	return strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

func isASCII(charset string) bool {
	return strings.EqualFold(charset, "us-ascii") || strings.EqualFold(charset, "ascii")
}

// lookupCharset finds a decoder by MIME name or alias; nil means to guess:
// UTF-8, US-ASCII and whatever nobody knows.
func lookupCharset(charset string) encoding.Encoding {
	charset = strings.Trim(charset, " \t\"'")
	if i := strings.IndexByte(charset, '*'); i >= 0 { // RFC 2231 section 5: language
		charset = charset[:i]
	}
	if charset == "" || len(charset) > 64 || isUTF8(charset) || isASCII(charset) {
		return nil
	}
	if enc, err := htmlindex.Get(charset); err == nil && enc != nil {
		if name, err := htmlindex.Name(enc); err == nil && (name == "utf-8" || name == "replacement") {
			return nil
		}
		return enc
	}
	for _, index := range []*ianaindex.Index{ianaindex.MIME, ianaindex.IANA} {
		// The index answers nil for names it knows but cannot decode.
		if enc, err := index.Encoding(charset); err == nil && enc != nil {
			return enc
		}
	}
	if name, ok := strings.CutPrefix(strings.ToLower(charset), "cp"); ok {
		if enc, err := htmlindex.Get("windows-" + strings.TrimPrefix(name, "-")); err == nil {
			return enc
		}
	}
	return nil
}

// guess turns each line that is not UTF-8 from windows-1252 into UTF-8; with
// strict, its faulty bytes become U+FFFD.
type guess struct {
	transform.NopResetter
	strict bool
}

// Transform implements transform.Transformer. A line longer than the buffer is
// judged in pieces.
func (g *guess) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		line := src[nSrc:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		} else if !atEOF && (nSrc > 0 || len(line) < 1024) {
			return nDst, nSrc, transform.ErrShortSrc
		} else if !atEOF {
			line = wholeRunes(line)
		}
		line = line[:min(len(line), 1024)]
		if len(line) == 1024 {
			line = wholeRunes(line)
		}
		if len(dst)-nDst < 3*len(line) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += g.line(dst[nDst:], line)
		nSrc += len(line)
	}
	return nDst, nSrc, nil
}

// line writes one line; dst has room for three bytes each.
func (g *guess) line(dst, line []byte) int {
	if utf8.Valid(line) {
		return copy(dst, line)
	}
	n := 0
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if !g.strict {
			r, size = charmap.Windows1252.DecodeByte(line[0]), 1
		}
		n += utf8.EncodeRune(dst[n:], r)
		line = line[size:]
	}
	return n
}

// wholeRunes cuts a rune that may go on after the end of b.
func wholeRunes(b []byte) []byte {
	for i := 1; i <= 3 && i < len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}
