package message

import (
	"bytes"
	"iter"
	"strings"
)

// Header is the raw header of an entity: its fields, with or without the empty
// line that ends it. It is read tolerantly: a line that is no field (RFC 7103
// section 7.2) belongs to the field before it, as if it had been folded, and is
// passed over when there is none (the "From " line of an mbox, say).
type Header []byte

// Field is one field of a Header.
type Field struct {
	Name       []byte // as written, without the colon
	Value      []byte // all after the colon: folding and the last line end included
	Start, End int    // the whole field is Header[Start:End]
}

// Is reports whether the field has the given name, in any case.
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Text is the value unfolded (RFC 5322 section 2.2.3) and trimmed.
func (f Field) Text() string { return unfoldBytes(f.Value) }

// Fields iterates over the fields in order. It stops at the empty line.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		var cur Field
		open := false
		colon := 0
		for pos := 0; pos < len(h); {
			end := lineEnd(h, pos)
			line := h[pos:end]
			if isEmptyLine(line) {
				break
			}
			if n, c := fieldName(line); n > 0 {
				if open && !yield(cur) {
					return
				}
				open, colon = true, pos+c+1
				cur = Field{Name: line[:n], Start: pos}
			}
			if open {
				cur.Value, cur.End = h[colon:end], end
			}
			pos = end
		}
		if open {
			yield(cur)
		}
	}
}

// Get returns the first field of that name, unfolded and trimmed, and whether
// there is one.
func (h Header) Get(name string) (string, bool) {
	for f := range h.Fields() {
		if f.Is(name) {
			return f.Text(), true
		}
	}
	return "", false
}

// All returns the values of every field of that name in order, unfolded and
// trimmed.
func (h Header) All(name string) []string {
	var all []string
	for f := range h.Fields() {
		if f.Is(name) {
			all = append(all, f.Text())
		}
	}
	return all
}

// Without returns the header without the fields that drop chooses, or itself when
// it chooses none.
func (h Header) Without(drop func(Field) bool) Header {
	var kept Header
	from := 0
	for f := range h.Fields() {
		if drop(f) {
			kept = append(kept, h[from:f.Start]...)
			from = f.End
		}
	}
	if from == 0 {
		return h
	}
	return append(kept, h[from:]...)
}

// WithoutComments is a structured value without its comments and the white space
// around it (RFC 5322 section 3.2.2).
func WithoutComments(value string) string {
	text, _ := stripComments(value)
	return strings.Trim(text, " \t")
}

// HeaderEnd returns the length of the header at the start of b, its empty line
// included, or len(b) when no empty line ends it.
func HeaderEnd(b []byte) int {
	for pos := 0; pos < len(b); {
		end := lineEnd(b, pos)
		if isEmptyLine(b[pos:end]) {
			return end
		}
		pos = end
	}
	return len(b)
}

// lineEnd returns where the line at pos ends, its LF included.
func lineEnd(b []byte, pos int) int {
	if i := bytes.IndexByte(b[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(b)
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// fieldName finds "name:" or the obsolete "name :" (RFC 5322 section 4.5) at
// the start of a line. It returns the length of the name and the place of the
// colon, or 0, 0 when the line is no field.
func fieldName(line []byte) (name, colon int) {
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] < 127 && line[i] != ':' {
		i++
	}
	name = i
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if name == 0 || i >= len(line) || line[i] != ':' {
		return 0, 0
	}
	return name, i
}

// unfold makes one line of a field value: CRLF before white space goes away
// (RFC 5322 section 2.2.3), any other line end becomes a space, NULs go, and
// white space around the value too.
func unfold(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '\r' || c == '\n' || c == 0 {
			return unfoldFrom(s, i)
		}
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 }

// unfoldFrom does the work of unfold on a trimmed value, whose first i bytes
// stay as they are.
func unfoldFrom(s string, i int) string {
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case 0:
		case '\r':
			if s[i+1] != '\n' { // trimmed: s does not end in CR
				b.WriteByte(' ')
			}
		case '\n':
			if next := s[i+1]; next != ' ' && next != '\t' {
				b.WriteByte(' ')
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unfoldBytes is unfold; it makes no string of the blanks around the value.
func unfoldBytes(b []byte) string {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return unfold(string(b))
}

// equalFold compares ASCII case-insensitively without allocating.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
