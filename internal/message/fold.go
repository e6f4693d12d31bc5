package message

import (
	"unicode"
	"unicode/utf8"
)

// FoldCase maps s so that two texts that differ in case alone become equal, for
// the substring comparisons of SEARCH. It is Unicode simple folding, rune by
// rune: "ß" does not equal "ss", and composed and decomposed letters stay
// different. Bytes that are not UTF-8 become U+FFFD.
func FoldCase(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	return string(AppendFold(make([]byte, 0, len(s)), []byte(s)))
}

// AppendFold appends FoldCase of s to dst.
func AppendFold(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, lower(c))
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		dst = utf8.AppendRune(dst, foldRune(r))
		i += size
	}
	return dst
}

// foldRune picks one rune of those that are equal but for case: the lower case
// of the smallest, so that ASCII letters come out as lower case.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}
