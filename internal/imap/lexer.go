package imap

import (
	"strconv"
	"strings"
)

// SyntaxError is why a command could not be parsed; safe to show to the client.
type SyntaxError string

func (e SyntaxError) Error() string { return string(e) }

// Parser reads one command from left to right. The first error sticks: after
// it every method returns zero values and consumes nothing, so callers check
// Err (or End) once. Strings that it returns are copies.
type Parser struct {
	b   []byte
	i   int
	err error
}

// NewParser begins at the front of b, which must not change while parsing.
func NewParser(b []byte) *Parser { return &Parser{b: b} }

// Err is the first error, a SyntaxError, or nil.
func (p *Parser) Err() error { return p.err }

// Fail sets the error unless there is one.
func (p *Parser) Fail(text string) {
	if p.err == nil {
		p.err = SyntaxError(text)
	}
}

// End checks that everything was read.
func (p *Parser) End() error {
	if p.err == nil && p.i < len(p.b) {
		p.Fail("Unexpected text after the command's arguments")
	}
	return p.err
}

// AtEnd reports whether nothing is left.
func (p *Parser) AtEnd() bool { return p.i >= len(p.b) }

// Peek is the next byte, 0 at the end or after an error.
func (p *Parser) Peek() byte {
	if p.err != nil || p.i >= len(p.b) {
		return 0
	}
	return p.b[p.i]
}

// Take consumes c if it is next.
func (p *Parser) Take(c byte) bool {
	if p.Peek() != c || p.i >= len(p.b) {
		return false
	}
	p.i++
	return true
}

// Need consumes c; anything else is an error.
func (p *Parser) Need(c byte) {
	if !p.Take(c) {
		p.Fail("Expected " + strconv.QuoteRune(rune(c)))
	}
}

// SP consumes exactly one space, and forgives more.
func (p *Parser) SP() {
	p.Need(' ')
	for p.Take(' ') {
	}
}

// takeSP is SP where none is also right.
func (p *Parser) takeSP() bool {
	if p.Peek() != ' ' {
		return false
	}
	p.SP()
	return p.err == nil
}

func isAtomChar(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`(){%*"\]`, c) < 0
}

func isAStringChar(c byte) bool { return isAtomChar(c) || c == ']' || c >= 0x80 }

func isTagChar(c byte) bool { return c != '+' && (isAtomChar(c) || c == ']') }

func isListChar(c byte) bool { return isAStringChar(c) || c == '%' || c == '*' }

func (p *Parser) run(ok func(byte) bool, what string) string {
	if p.err != nil {
		return ""
	}
	from := p.i
	for p.i < len(p.b) && ok(p.b[p.i]) {
		p.i++
	}
	if p.i == from {
		p.Fail("Expected " + what)
	}
	return string(p.b[from:p.i])
}

// Tag reads a tag (RFC 9051 section 9).
func (p *Parser) Tag() string { return p.run(isTagChar, "a tag") }

// Atom reads an atom.
func (p *Parser) Atom() string { return p.run(isAtomChar, "an atom") }

// Keyword reads an atom in upper case: a command's or an option's name.
func (p *Parser) Keyword() string { return strings.ToUpper(p.Atom()) }

// AString reads an atom (with "]" and 8-bit bytes), a quoted string or a literal.
func (p *Parser) AString() string {
	switch p.Peek() {
	case '"', '{', '~':
		return p.String()
	}
	return p.run(isAStringChar, "a string")
}

// String reads a quoted string or a literal.
func (p *Parser) String() string {
	switch p.Peek() {
	case '"':
		return p.quoted()
	case '{', '~':
		return string(p.literal())
	}
	p.Fail("Expected a string")
	return ""
}

// NString is String or NIL; ok is false for NIL.
func (p *Parser) NString() (s string, ok bool) {
	if c := p.Peek(); c == 'N' || c == 'n' {
		if p.Keyword() != "NIL" {
			p.Fail("Expected a string or NIL")
		}
		return "", false
	}
	return p.String(), p.err == nil
}

// ListMailbox reads a LIST pattern.
func (p *Parser) ListMailbox() string {
	switch p.Peek() {
	case '"', '{', '~':
		return p.String()
	}
	return p.run(isListChar, "a mailbox pattern")
}

func (p *Parser) quoted() string {
	p.Need('"')
	if p.err != nil {
		return ""
	}
	from, escaped := p.i, false
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; c {
		case '"':
			s := p.b[from:p.i]
			p.i++
			if escaped {
				return unescape(s)
			}
			return string(s)
		case '\\':
			escaped = true
			p.i++
		case '\r', '\n', 0:
			p.Fail("A quoted string must not contain line ends or NUL")
			return ""
		}
	}
	p.i = len(p.b)
	p.Fail("A quoted string has no end")
	return ""
}

func unescape(s []byte) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

// literal reads {n}CRLF, {n+}CRLF, or either after "~" (literal8, RFC 3516),
// and the n bytes; the slice is part of the input.
func (p *Parser) literal() []byte {
	p.Take('~')
	p.Need('{')
	n := p.Number64()
	if !p.Take('+') {
		p.Take('-')
	}
	p.Need('}')
	p.Take('\r')
	p.Need('\n')
	if p.err != nil {
		return nil
	}
	if n > uint64(len(p.b)-p.i) {
		p.Fail("A literal is not complete")
		return nil
	}
	s := p.b[p.i : p.i+int(n)]
	p.i += int(n)
	return s
}

// Number64 reads a number below 2^63 (RFC 9051 section 9, number64).
func (p *Parser) Number64() uint64 {
	if p.err != nil {
		return 0
	}
	from := p.i
	var n uint64
	for ; p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9'; p.i++ {
		if p.i-from >= 19 {
			p.Fail("A number is too large")
			return 0
		}
		n = n*10 + uint64(p.b[p.i]-'0')
	}
	if p.i == from {
		p.Fail("Expected a number")
	}
	if n > 1<<63-1 {
		p.Fail("A number is too large")
		return 0
	}
	return n
}

// Number reads a number below 2^32.
func (p *Parser) Number() uint32 {
	n := p.Number64()
	if n > 1<<32-1 {
		p.Fail("A number is too large")
		return 0
	}
	return uint32(n)
}

// NZNumber reads a number that is not zero.
func (p *Parser) NZNumber() uint32 {
	n := p.Number()
	if n == 0 {
		p.Fail("Expected a number above zero")
	}
	return n
}

// word consumes the atom want (in upper case) if it is next, without case.
func (p *Parser) word(want string) bool {
	if p.err != nil || len(p.b)-p.i < len(want) || !strings.EqualFold(string(p.b[p.i:p.i+len(want)]), want) {
		return false
	}
	if e := p.i + len(want); e < len(p.b) && isAtomChar(p.b[e]) {
		return false
	}
	p.i += len(want)
	return true
}

// Literal is a literal announced at the end of a line.
type Literal struct {
	Size   uint64 // bytes
	Sync   bool   // the client waits for a continuation (RFC 7888)
	Binary bool   // literal8
}

// LiteralAtEnd finds a literal announcement at the end of a line that has lost
// its CRLF. Sizes beyond 19 digits are reported as the largest number.
func LiteralAtEnd(line []byte) (Literal, bool) {
	n := len(line)
	if n < 3 || line[n-1] != '}' {
		return Literal{}, false
	}
	i := n - 2
	l := Literal{Sync: true}
	if line[i] == '+' || line[i] == '-' {
		l.Sync = false
		i--
	}
	end := i + 1
	for i >= 0 && line[i] >= '0' && line[i] <= '9' {
		i--
	}
	if i < 0 || line[i] != '{' || i+1 == end {
		return Literal{}, false
	}
	var err error
	if l.Size, err = strconv.ParseUint(string(line[i+1:end]), 10, 63); err != nil {
		l.Size = 1<<63 - 1
	}
	l.Binary = i > 0 && line[i-1] == '~'
	return l, true
}

// Rest reads everything that is left.
func (p *Parser) Rest() string {
	if p.err != nil {
		return ""
	}
	s := string(p.b[p.i:])
	p.i = len(p.b)
	return s
}
