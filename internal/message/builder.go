package message

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a line of our own messages, without CRLF (RFC 5322 section 2.1.1).
const (
	foldAt  = 78
	maxLine = 998
)

// Builder composes a message and writes it out, part by part, with CRLF line
// ends and no line longer than 998 bytes. Set the fields in the order they shall
// stand in; then the parts. The first error is kept and comes from WriteTo.
type Builder struct {
	seed    string
	utf8    bool
	fields  []byte
	subtype string // of the multipart; "" for a message of one part
	params  []Param
	parts   []BodyPart
	err     error
}

// BodyPart is one part of a message that is built.
type BodyPart struct {
	Type        string // "text/plain", "message/delivery-status", …
	Params      []Param
	ID          string // with brackets; "" for none
	Description string
	Disposition string // "attachment"; "" for none
	DispParams  []Param

	// Encoding is "7bit" (also when empty), "8bit", "quoted-printable" or
	// "base64". With the first two, the body's line ends become CRLF and lines
	// over 998 bytes are broken; the body must be what the name says. With
	// quoted-printable it is text, with base64 any bytes.
	Encoding string
	Body     io.Reader // nil: empty
}

// NewBuilder begins a message. Boundaries are made from seed, which should be
// what nobody can foresee, such as the Message-ID.
func NewBuilder(seed string) *Builder { return &Builder{seed: seed} }

// AllowUTF8 lets UTF-8 stand in header fields as it is (RFC 6532). The message
// then needs SMTPUTF8 when a field has any.
func (b *Builder) AllowUTF8() { b.utf8 = true }

// Date sets the Date field.
func (b *Builder) Date(t time.Time) { b.Field("Date", FormatDate(t)) }

// FormatDate writes a date-time of RFC 5322 section 3.3.
func FormatDate(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// MessageID sets the Message-ID field; brackets are added when they are missing.
func (b *Builder) MessageID(id string) {
	b.Field("Message-ID", "<"+strings.Trim(id, "<> ")+">")
}

// Addresses sets an address field. Names may be any text: they are encoded.
func (b *Builder) Addresses(name string, list ...Address) {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = FormatAddress(a, b.utf8)
	}
	b.Field(name, strings.Join(texts, ", "))
}

// Text sets an unstructured field (Subject, Comments) to any text.
func (b *Builder) Text(name, text string) {
	if b.utf8 && utf8.ValidString(text) {
		b.Field(name, text)
		return
	}
	b.Field(name, EncodeText(text))
}

// Field sets a structured field to a value that is ready but for folding.
// Control characters in it become spaces. Without AllowUTF8 it must be ASCII.
func (b *Builder) Field(name, value string) {
	if n, _ := fieldName([]byte(name + ":")); n != len(name) {
		b.fail("message: bad field name " + strings.ToValidUTF8(name, "?"))
		return
	}
	if !b.utf8 && hasEightBit([]byte(value)) {
		b.fail("message: field " + name + " is not ASCII")
		return
	}
	b.fields = AppendField(b.fields, name, value)
}

func (b *Builder) fail(text string) {
	if b.err == nil {
		b.err = errors.New(text)
	}
}

// Multipart makes the message a multipart/subtype of the parts that follow.
// The boundary parameter is added.
func (b *Builder) Multipart(subtype string, params ...Param) { b.subtype, b.params = subtype, params }

// Part adds a part; without Multipart there must be exactly one.
func (b *Builder) Part(p BodyPart) { b.parts = append(b.parts, p) }

// TextPart adds a text/plain part, as UTF-8 quoted-printable when it has to be.
func (b *Builder) TextPart(text string) {
	p := BodyPart{Type: "text/plain", Params: []Param{{"charset", "us-ascii"}}, Encoding: "7bit"}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	long := false
	for line := range strings.SplitSeq(text, "\n") {
		long = long || len(line) > maxLine
	}
	if long || hasEightBit([]byte(text)) || strings.ContainsAny(text, "\x00\r") {
		p.Params[0].Value, p.Encoding = "utf-8", "quoted-printable"
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	p.Body = strings.NewReader(text)
	b.Part(p)
}

// WriteTo writes the message. It reads the parts' bodies, so it can be called
// once. Errors are the Builder's first one, those of a body's reader, and those of w.
func (b *Builder) WriteTo(w io.Writer) (int64, error) {
	if b.err == nil && b.subtype == "" && len(b.parts) != 1 {
		b.fail("message: a message that is no multipart has exactly one part")
	}
	if b.err != nil {
		return 0, b.err
	}
	count := &countWriter{w: w}
	out := bufio.NewWriter(count)
	err := b.write(out)
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return count.n, err
}

func (b *Builder) write(w *bufio.Writer) error {
	w.Write(b.fields)
	w.WriteString("MIME-Version: 1.0\r\n")
	if b.subtype == "" {
		return b.parts[0].write(w)
	}
	sum := sha256.Sum256([]byte(b.seed))
	// "=_" cannot stand in quoted-printable or base64 (RFC 2045 section 6.7).
	boundary := "=_" + hex.EncodeToString(sum[:15])
	params := append(append([]Param(nil), b.params...), Param{"boundary", boundary})
	w.Write(AppendField(nil, "Content-Type", withParams("multipart/"+b.subtype, params)))
	eight := false
	for _, p := range b.parts {
		eight = eight || strings.EqualFold(p.Encoding, "8bit")
	}
	if eight { // RFC 2045 section 6.4
		w.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	w.WriteString("\r\n")
	for i := range b.parts {
		w.WriteString("--" + boundary + "\r\n")
		if err := b.parts[i].write(w); err != nil {
			return err
		}
		w.WriteString("\r\n")
	}
	_, err := w.WriteString("--" + boundary + "--\r\n")
	return err
}

// write writes the part's header and body.
func (p *BodyPart) write(w *bufio.Writer) error {
	w.Write(AppendField(nil, "Content-Type", withParams(p.Type, p.Params)))
	encoding := strings.ToLower(p.Encoding)
	if encoding != "" && encoding != "7bit" {
		w.Write(AppendField(nil, "Content-Transfer-Encoding", encoding))
	}
	if p.ID != "" {
		w.Write(AppendField(nil, "Content-ID", p.ID))
	}
	if p.Description != "" {
		w.Write(AppendField(nil, "Content-Description", EncodeText(p.Description)))
	}
	if p.Disposition != "" {
		w.Write(AppendField(nil, "Content-Disposition", withParams(p.Disposition, p.DispParams)))
	}
	w.WriteString("\r\n")
	if p.Body == nil {
		return nil
	}
	enc, err := bodyEncoder(encoding, w)
	if err != nil {
		return err
	}
	if _, err := io.Copy(enc, p.Body); err != nil {
		return err
	}
	return enc.Close()
}

func withParams(value string, params []Param) string {
	for _, p := range params {
		value += "; " + EncodeParam(p)
	}
	return value
}

// AppendField appends a header field, folded at spaces so that lines keep 78
// bytes where they can (RFC 5322 section 2.1.1) and 998 always: a longer word is
// broken. It also serves the fields of a message/delivery-status part.
func AppendField(dst []byte, name, value string) []byte {
	value = oneLine(value)
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	column := len(name) + 2
	fresh := true // nothing but the name stands on the line
	for value != "" {
		n := wordEnd(value)
		if column+n > foldAt && value[0] == ' ' && !fresh {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		for column+n > maxLine {
			cut := wholeText(value, max(1, maxLine-column))
			dst = append(dst, value[:cut]...)
			dst = append(dst, "\r\n "...)
			value, n, column = value[cut:], n-cut, 1
		}
		dst = append(dst, value[:n]...)
		column += n
		value, fresh = value[n:], false
	}
	return append(dst, "\r\n"...)
}

// wordEnd returns the length of the spaces and the word that s begins with.
func wordEnd(s string) int {
	n := 0
	for n < len(s) && s[n] == ' ' {
		n++
	}
	for n < len(s) && s[n] != ' ' {
		n++
	}
	return n
}

// wholeText returns n or less, so that s[:n] ends between characters.
func wholeText(s string, n int) int {
	for i := n; i > 0 && i > n-4; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
