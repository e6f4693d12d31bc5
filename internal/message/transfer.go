package message

import (
	"io"
	"strings"
)

// DecodeTransfer returns a reader of the body in r with its
// Content-Transfer-Encoding (RFC 2045 section 6) undone. Bytes that belong to no
// encoding are passed over, as are missing padding and truncation: there are no
// errors but those of r. An encoding that is unknown, and 7bit, 8bit and binary,
// leave the bytes as they are.
func DecodeTransfer(encoding string, r io.Reader) io.Reader {
	if dec := NewTransferDecoder(encoding); dec != nil {
		return &transferReader{r: r, dec: dec}
	}
	return r
}

// TransferDecoder undoes a Content-Transfer-Encoding piece by piece, as
// DecodeTransfer does.
type TransferDecoder interface {
	// Decode takes encoded bytes and appends decoded ones, never more than it took
	// and held back. It holds back 1,000 bytes at most.
	Decode(dst, src []byte) []byte
	// Finish appends what was held back when nothing follows.
	Finish(dst []byte) []byte
	// Clone returns another decoder that goes on from here.
	Clone() TransferDecoder
}

// NewTransferDecoder returns nil for an encoding that leaves the bytes as they are
// or is unknown.
func NewTransferDecoder(encoding string) TransferDecoder {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return &base64Decoder{}
	case "quoted-printable":
		return &quotedDecoder{}
	}
	return nil
}

// KnownEncoding reports whether DecodeTransfer undoes an encoding (the
// UNKNOWN-CTE answer of IMAP BINARY).
func KnownEncoding(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64", "quoted-printable":
		return true
	}
	return identity(encoding)
}

// PartText returns a reader of the body of a text/* part in UTF-8: r gives the
// bytes from BodyStart to BodyEnd.
func PartText(p *Part, r io.Reader) io.Reader {
	return CharsetReader(p.Charset(), DecodeTransfer(p.Encoding, r))
}

// Charset returns the charset parameter, "" when there is none.
func (p *Part) Charset() string { return p.Param("charset") }

// Param returns the value of a Content-Type parameter as text, "" when there is
// none. A value with a charset (RFC 2231 section 4) wins over a plain one.
func (p *Part) Param(name string) string {
	plain := ""
	found := false
	for i := range p.Params {
		q := &p.Params[i]
		switch base, extended := strings.CutSuffix(q.Name, "*"); {
		case !strings.EqualFold(base, name):
		case extended:
			return decodeExtended(q.Value)
		case !found:
			plain, found = q.Value, true
		}
	}
	return plain
}

type transferReader struct {
	r   io.Reader
	dec TransferDecoder
	in  [4096]byte
	buf []byte // decoded, not read yet: out[off:]
	off int
	err error
}

func (t *transferReader) Read(p []byte) (int, error) {
	for t.off == len(t.buf) {
		if t.err != nil {
			return 0, t.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		t.buf, t.off = t.buf[:0], 0
		n, err := t.r.Read(t.in[:])
		t.buf = t.dec.Decode(t.buf, t.in[:n])
		if err != nil {
			t.err = err
			t.buf = t.dec.Finish(t.buf)
		}
	}
	n := copy(p, t.buf[t.off:])
	t.off += n
	return n, nil
}

// base64Decoder passes over what is not of the alphabet (RFC 2045 section 6.8).
// Padding ends a group of four; what comes after begins a new one.
type base64Decoder struct {
	bits uint32
	n    int // characters in bits
}

// Decode appends what src says.
func (d *base64Decoder) Decode(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		for d.n == 0 && i+4 <= len(src) { // groups that are whole
			v0, v1, v2, v3 := base64Values[src[i]], base64Values[src[i+1]], base64Values[src[i+2]], base64Values[src[i+3]]
			if v0|v1|v2|v3 >= 64 {
				break
			}
			dst = append(dst, v0<<2|v1>>4, v1<<4|v2>>2, v2<<6|v3)
			i += 4
		}
		if i >= len(src) {
			break
		}
		c := src[i]
		v := base64Values[c]
		if v >= 64 {
			if c == '=' {
				dst = d.Finish(dst)
			}
			continue
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.n++; d.n == 4 {
			dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
			d.n, d.bits = 0, 0
		}
	}
	return dst
}

// Finish ends a group of four.
func (d *base64Decoder) Finish(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.n, d.bits = 0, 0
	return dst
}

// Clone returns another decoder that goes on from here.
func (d *base64Decoder) Clone() TransferDecoder {
	c := *d
	return &c
}

// base64Values maps a character to its six bits, or to 255.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	return t
}()

// maxQuoted bounds what a quotedDecoder holds back: white space that may be the
// end of its line. More than that is text.
const maxQuoted = 1000

// quotedDecoder decodes quoted-printable (RFC 2045 section 6.7). White space at
// the end of a line goes (rule 3); "=" before anything but two hexadecimal
// digits or a line end is itself.
type quotedDecoder struct{ held []byte }

// Decode appends what src says, but for what the next bytes decide.
func (d *quotedDecoder) Decode(dst, src []byte) []byte {
	for len(src) > 0 {
		if len(d.held) == 0 {
			n := plainRun(src)
			dst, src = append(dst, src[:n]...), src[n:]
			if len(src) == 0 {
				break
			}
		}
		dst, src = d.add(dst, src[0]), src[1:]
	}
	return dst
}

// plainRun returns how many bytes stand for themselves, whatever follows.
func plainRun(b []byte) int {
	i := 0
	for i < len(b) {
		switch b[i] {
		case '=':
			return i
		case ' ', '\t', '\r':
			if i+1 == len(b) {
				return i
			}
			switch c := b[i+1]; {
			case c == '\n' && b[i] == '\r':
			case c == '\n', c == '\r', c == ' ', c == '\t', c == '=':
				return i
			}
		}
		i++
	}
	return i
}

func (d *quotedDecoder) add(dst []byte, c byte) []byte {
	h := d.held
	if len(h) == 0 {
		switch c {
		case '=', ' ', '\t', '\r':
			d.held = append(h, c)
			return dst
		}
		return append(dst, c)
	}
	if h[0] == '=' {
		return d.escape(dst, c)
	}
	// White space, and perhaps a CR after it.
	switch {
	case c == '\n':
		if h[len(h)-1] == '\r' {
			dst = append(dst, '\r')
		}
		d.held = h[:0]
		return append(dst, '\n')
	case (c == ' ' || c == '\t' || c == '\r') && h[len(h)-1] != '\r' && len(h) < maxQuoted:
		d.held = append(h, c)
		return dst
	}
	dst = append(dst, h...)
	d.held = h[:0]
	return d.add(dst, c)
}

// escape goes on with what began with "=".
func (d *quotedDecoder) escape(dst []byte, c byte) []byte {
	h := d.held
	switch {
	case len(h) == 1 && unhex(c) >= 0:
		d.held = append(h, c)
		return dst
	case len(h) == 2 && unhex(h[1]) >= 0 && unhex(c) >= 0:
		d.held = h[:0]
		return append(dst, byte(unhex(h[1])<<4|unhex(c)))
	case c == '\n' && (len(h) == 1 || unhex(h[1]) < 0): // a soft line break
		d.held = h[:0]
		return dst
	case (c == ' ' || c == '\t' || c == '\r') && (len(h) == 1 || unhex(h[1]) < 0) && h[len(h)-1] != '\r' && len(h) < maxQuoted:
		d.held = append(h, c)
		return dst
	}
	dst = append(dst, h...)
	d.held = h[:0]
	return d.add(dst, c)
}

// Clone returns another decoder that goes on from here.
func (d *quotedDecoder) Clone() TransferDecoder {
	return &quotedDecoder{held: append([]byte(nil), d.held...)}
}

// Finish appends what was held back, unless the end of the text makes it nothing.
func (d *quotedDecoder) Finish(dst []byte) []byte {
	h := d.held
	d.held = nil
	if len(h) > 0 && (h[0] != '=' || len(h) > 1 && unhex(h[1]) < 0 || len(h) == 1) {
		if h[0] == '=' || h[len(h)-1] != '\r' {
			return dst // a soft break or white space at the end of the text
		}
	}
	return append(dst, h...)
}
