package message

import (
	"slices"
	"sort"
	"strconv"
	"strings"
)

const maxParams = 200 // of one field; more are dropped

// parseParams reads "value; name=value; …" (RFC 2045 section 5.1), with
// comments, missing quotes and stray semicolons tolerated, and joins what RFC 2231
// split. v is unfolded.
func parseParams(v string) (string, []Param) {
	value, rest := leading(v)
	r := paramReader{rest: rest}
	var params []Param
	extended := false
	for r.rest != "" && len(params) < maxParams {
		if p, ok := r.next(); ok {
			params = append(params, p)
			extended = extended || strings.IndexByte(p.Name, '*') >= 0
		}
	}
	if extended {
		params = joinParams(params)
	}
	return value, params
}

// leading returns what stands before the parameters, without comments, and the
// rest of v from the first semicolon on.
func leading(v string) (value, rest string) {
	for range 4 { // "text/ (why) plain"
		v = skipCFWS(v)
		end := strings.IndexAny(v, ";(")
		if i := strings.IndexAny(v, " \t"); i > 0 && (end < 0 || i < end) && v[i-1] != '/' && startsParam(v[i:]) {
			return value + v[:i], v[i:] // the semicolon is missing
		}
		if end < 0 {
			return value + strings.TrimSpace(v), ""
		}
		value += strings.TrimSpace(v[:end])
		if v = skipCFWS(v[end:]); v == "" || v[0] == ';' {
			return value, v
		}
		if v[0] == '(' {
			break // it has no end
		}
	}
	if end := strings.IndexByte(v, ';'); end >= 0 {
		return value, v[end:]
	}
	return value, ""
}

// startsParam reports whether white space is followed by "name=".
func startsParam(s string) bool {
	name, _, ok := strings.Cut(strings.TrimLeft(s, " \t"), "=")
	return ok && isToken(strings.TrimRight(name, " \t"))
}

// paramReader reads parameters from the front of rest.
type paramReader struct {
	rest      string
	noComment bool // a comment without an end was met: no other is looked for
}

// next reads one parameter; ok is false when there was none before the semicolon.
func (r *paramReader) next() (p Param, ok bool) {
	r.rest = strings.TrimLeft(r.rest, "; \t")
	r.skip()
	i := strings.IndexAny(r.rest, "=;")
	if i < 0 {
		r.rest = ""
		return p, false
	}
	name := r.rest[:i]
	if r.rest[i] == ';' {
		r.rest = r.rest[i:]
		return p, false
	}
	if j := strings.IndexByte(name, '('); j >= 0 {
		name = name[:j]
	}
	p.Name = strings.TrimSpace(name)
	r.rest = r.rest[i+1:]
	r.skip()
	p.Value = r.value()
	return p, p.Name != ""
}

func (r *paramReader) value() string {
	if s := r.rest; s != "" && s[0] == '"' {
		if value, n, closed := unquote(s); closed {
			r.rest = s[n:]
			r.afterQuoted()
			return value
		}
		r.rest = s[1:] // an unbalanced quote (RFC 7103 section 7.1.6)
	}
	value, end := r.rest, strings.IndexByte(r.rest, ';')
	if end < 0 {
		end = len(value)
	}
	value, r.rest = value[:end], value[end:]
	if j := strings.Index(value, " ("); j >= 0 {
		value = value[:j]
	}
	return strings.TrimSpace(value)
}

// afterQuoted passes over what stands between a quoted value and the next
// semicolon. A semicolon may be missing: then a name follows at once.
func (r *paramReader) afterQuoted() {
	r.skip()
	if s := r.rest; s != "" && s[0] != ';' && strings.IndexByte(s, '=') < 0 {
		r.rest = ""
	}
}

func (r *paramReader) skip() {
	if r.noComment {
		r.rest = strings.TrimLeft(r.rest, " \t")
		return
	}
	r.rest = skipCFWS(r.rest)
	r.noComment = r.rest != "" && r.rest[0] == '('
}

// unquote reads the quoted-string that s begins with (RFC 5322 section 3.2.4).
// n is the length of it in s; closed is false when its end is missing.
func unquote(s string) (value string, n int, closed bool) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if !escaped {
				return s[1:i], i + 1, true
			}
			return unescape(s[1:i]), i + 1, true
		}
	}
	return "", 0, false
}

// unescape takes the backslashes of quoted-pairs away.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// piece is a section of a parameter that RFC 2231 split.
type piece struct {
	index   int // section 3
	encoded bool
	value   string
}

// joinParams joins continuations (RFC 2231 section 3). What is encoded stays so:
// of "name*0*" and "name*1" becomes "name*", and of "name*0" and "name*1" "name".
func joinParams(params []Param) []Param {
	var out []Param
	pieces := map[string][]piece{}
	place := map[int]string{} // where in out what was split goes
	for _, p := range params {
		base, pc, ok := splitName(p)
		if !ok {
			out = append(out, p)
			continue
		}
		key := strings.ToLower(base)
		if pieces[key] == nil {
			place[len(out)] = key
			out = append(out, Param{Name: base})
		}
		pieces[key] = append(pieces[key], pc)
	}
	for i, key := range place {
		out[i] = joinPieces(out[i].Name, pieces[key])
	}
	return out
}

// splitName takes "name*0" and "name*0*" apart.
func splitName(p Param) (string, piece, bool) {
	base, suffix, ok := strings.Cut(p.Name, "*")
	if !ok || base == "" {
		return "", piece{}, false
	}
	num, encoded := strings.CutSuffix(suffix, "*")
	n, err := strconv.Atoi(num)
	if err != nil || n < 0 {
		return "", piece{}, false
	}
	return base, piece{n, encoded, p.Value}, true
}

func joinPieces(base string, pcs []piece) Param {
	sort.SliceStable(pcs, func(i, j int) bool { return pcs[i].index < pcs[j].index })
	pcs = slices.CompactFunc(pcs, func(a, b piece) bool { return a.index == b.index })
	encoded := slices.ContainsFunc(pcs, func(pc piece) bool { return pc.encoded })
	var value strings.Builder
	if encoded && !pcs[0].encoded {
		value.WriteString("''") // no charset is named
	}
	for _, pc := range pcs {
		if encoded && !pc.encoded {
			pc.value = percentEncode(pc.value)
		}
		value.WriteString(pc.value)
	}
	if encoded {
		base += "*"
	}
	return Param{base, value.String()}
}

// decodeExtended is the text of "charset'language'text" (RFC 2231 section 4).
func decodeExtended(v string) string {
	charset := ""
	if cs, after, ok := strings.Cut(v, "'"); ok {
		charset, v = cs, after
		if _, text, ok := strings.Cut(after, "'"); ok {
			v = text
		}
	}
	return string(DecodeCharset(charset, appendPercent(nil, v)))
}

// appendPercent decodes %XX (RFC 2231 section 4); a "%" without two hexadecimal
// digits stays.
func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// skipCFWS passes over white space and comments (RFC 5322 section 3.2.2). A
// comment without an end is not a comment.
func skipCFWS(s string) string {
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] != '(' {
			return s
		}
		n := commentEnd(s)
		if n < 0 {
			return s
		}
		s = s[n:]
	}
}

// commentEnd returns the length of the comment that s begins with, or -1.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// isToken reports whether s is a token of RFC 2045 section 5.1.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 127 || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
