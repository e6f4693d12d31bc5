package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// ErrUnbinary means that a message cannot be put into lines without harm: a
// header is binary, or a signature covers what would have to change.
var ErrUnbinary = errors.New("message: binary content that cannot be converted")

// Unbinary is a message with binary content (RFC 3030 section 3) in a form that
// any server takes: parts that have NUL, CR or LF alone, or lines over 998 bytes
// are in base64, and no Content-Transfer-Encoding says "binary". Everything else
// is as it was. It reads the original when it is read; safe for concurrent use.
type Unbinary struct {
	// EightBit tells whether bytes above 127 are left (8BITMIME).
	EightBit  bool
	src       io.ReaderAt
	stretches []stretch
}

// stretch is a part of the converted message: text, or bytes of the original.
type stretch struct {
	text     []byte // when not nil
	from, to int64
	base64   bool
}

// maxEntityHeader bounds a header that can be converted, in bytes.
const maxEntityHeader = maxHeader

// NewUnbinary converts the size bytes of src. It reads them twice and keeps none.
// Errors are ErrUnbinary and those of src.
func NewUnbinary(src io.ReaderAt, size int64) (*Unbinary, error) {
	p := NewParser(Options{})
	if _, err := io.Copy(p, io.NewSectionReader(src, 0, size)); err != nil {
		return nil, err
	}
	u := &Unbinary{src: src}
	c := converter{u: u}
	if err := c.entity(&p.Finish().Root, true); err != nil {
		return nil, err
	}
	return u, c.copy(size)
}

// Size is the length of the converted message.
func (u *Unbinary) Size() (n int64) {
	for _, p := range u.stretches {
		switch length := p.to - p.from; {
		case p.text != nil:
			n += int64(len(p.text))
		case p.base64:
			n += base64Size(length)
		default:
			n += length
		}
	}
	return n
}

// Reader reads the converted message from its start.
func (u *Unbinary) Reader() io.Reader {
	list := make([]io.Reader, len(u.stretches))
	for i, p := range u.stretches {
		part := io.NewSectionReader(u.src, p.from, p.to-p.from)
		switch {
		case p.text != nil:
			list[i] = bytes.NewReader(p.text)
		case p.base64:
			list[i] = &base64Reader{src: part}
		default:
			list[i] = part
		}
	}
	return io.MultiReader(list...)
}

// converter walks through the parts.
type converter struct {
	u      *Unbinary
	pos    int64 // what is before it is in the stretches
	sealed bool  // inside of what is signed or encrypted
}

// copy takes the original up to an offset as it is, which must be in lines.
func (c *converter) copy(to int64) error {
	if to <= c.pos {
		return nil
	}
	lines, eight, err := inLines(io.NewSectionReader(c.u.src, c.pos, to-c.pos))
	if err != nil {
		return err
	}
	if !lines {
		return ErrUnbinary
	}
	c.u.EightBit = c.u.EightBit || eight
	c.u.stretches = append(c.u.stretches, stretch{from: c.pos, to: to})
	c.pos = to
	return nil
}

// entity converts one, with its header; root is the message's own.
func (c *converter) entity(p *Part, root bool) error {
	outer := c.sealed
	defer func() { c.sealed = outer }()
	if strings.EqualFold(p.Type, "multipart") {
		c.sealed = c.sealed || strings.EqualFold(p.Subtype, "signed") || strings.EqualFold(p.Subtype, "encrypted")
	}
	encoding := ""
	if strings.EqualFold(p.Encoding, "binary") {
		encoding = "8bit"
	}
	composite := len(p.Parts) > 0 || p.Message != nil
	if !composite {
		lines, _, err := inLines(io.NewSectionReader(c.u.src, p.BodyStart, p.BodyEnd-p.BodyStart))
		if err != nil {
			return err
		}
		if !lines {
			if !plainEncoding(p.Encoding) || strings.EqualFold(p.Type, "message") {
				return ErrUnbinary // RFC 2045 section 6.4, RFC 2046 section 5.2
			}
			encoding = "base64"
		}
	}
	if err := c.header(p, encoding, root); err != nil {
		return err
	}
	for i := range p.Parts {
		if err := c.entity(&p.Parts[i], false); err != nil {
			return err
		}
	}
	if p.Message != nil {
		if err := c.entity(&p.Message.Root, true); err != nil {
			return err
		}
	}
	if encoding == "base64" {
		c.u.stretches = append(c.u.stretches, stretch{from: p.BodyStart, to: p.BodyEnd, base64: true})
		c.pos = p.BodyEnd
	}
	return nil
}

func plainEncoding(name string) bool {
	return strings.EqualFold(name, "7bit") || strings.EqualFold(name, "8bit") || strings.EqualFold(name, "binary")
}

// header takes a header with another encoding; "" leaves it as it is.
func (c *converter) header(p *Part, encoding string, root bool) error {
	if encoding == "" {
		return c.copy(p.BodyStart)
	}
	// A part without a header of its own stands for one that could not be taken apart.
	if size := p.BodyStart - p.HeaderStart; c.sealed || size == 0 || size > maxEntityHeader {
		return ErrUnbinary
	}
	if err := c.copy(p.HeaderStart); err != nil {
		return err
	}
	old := make([]byte, p.BodyStart-p.HeaderStart)
	if _, err := c.u.src.ReadAt(old, p.HeaderStart); err != nil && err != io.EOF {
		return err
	}
	text := withEncoding(old, encoding, root)
	lines, eight, _ := inLines(bytes.NewReader(text))
	if !lines {
		return ErrUnbinary
	}
	c.u.EightBit = c.u.EightBit || eight
	c.u.stretches = append(c.u.stretches, stretch{text: text})
	c.pos = p.BodyStart
	return nil
}

// withEncoding is a header with another Content-Transfer-Encoding, in the place
// of the old one or at its end.
func withEncoding(header []byte, encoding string, root bool) []byte {
	var out, end []byte
	set, drop, mime := false, false, false
	field := "Content-Transfer-Encoding: " + encoding + "\r\n"
	for line := range bytes.Lines(header) {
		if isEmptyLine(line) {
			end = line
			break
		}
		if !isBlank(line[0]) {
			name, _, _ := bytes.Cut(line, []byte(":"))
			name = bytes.TrimRight(name, " \t")
			mime = mime || equalFold(name, "mime-version")
			drop = equalFold(name, "content-transfer-encoding")
			if drop && !set {
				out, set = append(out, field...), true
			}
		}
		if !drop {
			out = append(out, line...)
		}
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	if !set {
		if root && !mime {
			out = append(out, "MIME-Version: 1.0\r\n"...)
		}
		out = append(out, field...)
	}
	if end == nil {
		end = []byte("\r\n")
	}
	return append(out, end...)
}

// inLines reports whether r is lines as any server takes them: no NUL, no CR or
// LF alone, no line over 998 bytes (RFC 5321 section 4.5.3.1.6); and whether it
// has a byte above 127.
func inLines(r io.Reader) (lines, eight bool, err error) {
	lines = true
	buf := make([]byte, 32<<10)
	length, cr := 0, false
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			switch {
			case b == '\n' && cr:
				length = 0
			case b == '\n' || b == 0 || cr:
				lines = false
			case b != '\r':
				length++
				lines = lines && length <= maxLine
				eight = eight || b > 0x7f
			}
			cr = b == '\r'
		}
		if err == io.EOF {
			return lines && !cr, eight, nil
		}
		if err != nil {
			return false, false, err
		}
	}
}

// Lines of base64: how many bytes go into one.
const base64Line = 57

func base64Size(n int64) int64 {
	size := n / base64Line * (base64Line/3*4 + 2)
	if rest := n % base64Line; rest > 0 {
		size += (rest+2)/3*4 + 2
	}
	return size
}

// base64Reader reads src in lines of base64.
type base64Reader struct {
	src io.Reader
	out []byte // not read yet
	buf []byte
	err error
}

// Read is io.Reader.
func (r *base64Reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *base64Reader) fill() {
	in := make([]byte, 64*base64Line)
	n, err := io.ReadFull(r.src, in)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	r.err = err
	r.buf = r.buf[:0]
	for in = in[:n]; len(in) > 0; in = in[min(len(in), base64Line):] {
		r.buf = base64.StdEncoding.AppendEncode(r.buf, in[:min(len(in), base64Line)])
		r.buf = append(r.buf, "\r\n"...)
	}
	r.out = r.buf
}
