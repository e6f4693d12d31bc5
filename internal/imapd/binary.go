package imapd

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"posthouse/internal/blob"
	"posthouse/internal/imap"
	"posthouse/internal/message"
)

// binary writes BINARY[...] and BINARY.SIZE[...]: the part without its transfer
// encoding (RFC 3516 section 4.3). What is sent must be measured before, so an
// encoded part is decoded twice and never held.
func (f *fetcher) binary(it *imap.FetchItem, body blob.Body, sum *message.Summary) error {
	s := f.s
	part, _, ok := findPart(sum, it.Section.Part, body.Size())
	if !ok {
		nothing := " NIL"
		if it.Kind == imap.FetchBinarySize {
			nothing = " 0"
		}
		s.out = append(it.AppendName(s.out), nothing...)
		return nil
	}
	x := locate(sum, it.Section, body.Size())
	decode, known := decoderOf(part, len(it.Section.Part) == 0)
	if !known { // RFC 3516 section 4.3: NO [UNKNOWN-CTE], and no data
		f.unknownCTE = true
		s.out = append(it.AppendName(s.out), " NIL"...)
		return nil
	}
	open := func() io.Reader {
		r := io.Reader(io.NewSectionReader(body, x.from, x.size()))
		if decode != nil {
			r = decode(bufio.NewReaderSize(r, 4<<10))
		}
		return r
	}
	if it.Kind == imap.FetchBinarySize {
		size, _, err := measure(open(), 0, 1<<62)
		if err != nil {
			s.unreadable(err)
			return errAnswered
		}
		s.out = appendUint(append(it.AppendName(s.out), ' '), uint64(size))
		return nil
	}
	from, n := int64(0), int64(1<<62)
	if it.Partial {
		from, n = int64(it.Offset), int64(it.Count)
	}
	return f.sendDecoded(it, open, from, n)
}

// unanswerable reports whether an item is the size of a part in an encoding that
// nobody knows: the response has only room for a number (RFC 3516 section 6).
func (f *fetcher) unanswerable(it *imap.FetchItem, body blob.Body, sum *message.Summary) bool {
	if it.Kind != imap.FetchBinarySize {
		return false
	}
	part, _, ok := findPart(sum, it.Section.Part, body.Size())
	if !ok {
		return false
	}
	if _, known := decoderOf(part, len(it.Section.Part) == 0); known {
		return false
	}
	f.unknownCTE = true
	return true
}

func (f *fetcher) sendDecoded(it *imap.FetchItem, open func() io.Reader, from, n int64) error {
	s := f.s
	size, hasNUL, err := measure(open(), from, n)
	if err != nil {
		s.unreadable(err)
		return errAnswered
	}
	b := append(it.AppendName(s.out), ' ')
	if hasNUL {
		b = append(b, '~') // literal8
	}
	b = appendUint(append(b, '{'), uint64(size))
	s.out = append(b, "}\r\n"...)
	r := open()
	if _, err := io.CopyN(io.Discard, r, from); err != nil && size > 0 {
		s.unreadable(err)
		return errAnswered
	}
	if _, err := io.CopyN(outWriter{s}, r, size); err != nil {
		s.unreadable(err)
		return errAnswered
	}
	return nil
}

// outWriter writes into the session's output.
type outWriter struct{ s *session }

func (w outWriter) Write(p []byte) (int, error) {
	w.s.out = append(w.s.buf(), p...)
	w.s.pressure()
	return len(p), w.s.err
}

// measure counts the bytes [from, from+n) of r, and looks for NUL among them.
func measure(r io.Reader, from, n int64) (size int64, hasNUL bool, err error) {
	bp := copyPool.Get().(*[]byte)
	defer copyPool.Put(bp)
	if _, err := io.CopyN(io.Discard, r, from); err != nil {
		if err == io.EOF {
			err = nil
		}
		return 0, false, err
	}
	r = io.LimitReader(r, n)
	for {
		k, err := r.Read(*bp)
		size += int64(k)
		hasNUL = hasNUL || bytes.IndexByte((*bp)[:k], 0) >= 0
		if err == io.EOF {
			return size, hasNUL, nil
		}
		if err != nil {
			return 0, false, err
		}
	}
}

// decoderOf is how a part is decoded: nil for not at all. The whole message and
// what has parts of its own are sent as they are.
func decoderOf(p *message.Part, whole bool) (decode func(*bufio.Reader) io.Reader, known bool) {
	if whole || len(p.Parts) > 0 || p.Message != nil {
		return nil, true
	}
	switch strings.ToUpper(strings.TrimSpace(p.Encoding)) {
	case "", "7BIT", "8BIT", "BINARY":
		return nil, true
	case "BASE64":
		return func(r *bufio.Reader) io.Reader { return &base64Reader{in: r} }, true
	case "QUOTED-PRINTABLE":
		return func(r *bufio.Reader) io.Reader { return &quotedReader{in: r} }, true
	}
	return nil, false
}

// base64Reader decodes as mail needs it: whatever is not of the alphabet is
// passed over (RFC 2045 section 6.8), and the end may be cut off.
type base64Reader struct {
	in   *bufio.Reader
	bits uint32
	have int // bits
	err  error
}

func (d *base64Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && d.err == nil {
		c, err := d.in.ReadByte()
		if err != nil {
			d.err = err
			break
		}
		v, ok := base64Value(c)
		if !ok {
			if c == '=' { // padding: a new group begins
				d.have = 0
			}
			continue
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.have += 6; d.have >= 8 {
			d.have -= 8
			p[n] = byte(d.bits >> d.have)
			n++
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}

func base64Value(c byte) (byte, bool) {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A', true
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26, true
	case c >= '0' && c <= '9':
		return c - '0' + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	}
	return 0, false
}

// quotedReader decodes quoted-printable and leaves alone what is not (RFC 2045
// section 6.7).
type quotedReader struct {
	in   *bufio.Reader
	unit []byte // decoded last
	wait []byte // what of it is not yet handed out
	err  error
}

// maxBlank bounds the white space that is looked at as a line's end.
const maxBlank = 1000

func (d *quotedReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(d.wait) > 0 {
			k := copy(p[n:], d.wait)
			d.wait = d.wait[k:]
			n += k
			continue
		}
		if d.err != nil {
			break
		}
		d.unit = d.next(d.unit[:0])
		d.wait = d.unit
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}

// next decodes one unit: a byte, an escape, a soft line break, a run of blanks.
func (d *quotedReader) next(out []byte) []byte {
	c, err := d.in.ReadByte()
	if err != nil {
		d.err = err
		return out
	}
	switch c {
	case '=':
		if b, _ := d.in.Peek(2); len(b) == 2 {
			hi, ok1 := hexValue(b[0])
			lo, ok2 := hexValue(b[1])
			if ok1 && ok2 {
				d.in.Discard(2)
				return append(out, hi<<4|lo)
			}
		}
		blanks, end := d.blanks()
		if end > 0 || d.atEOF(blanks) { // a soft line break
			d.in.Discard(blanks + end)
			return out
		}
	case ' ', '\t':
		blanks, end := d.blanks()
		out = append(out, c)
		if end > 0 || d.atEOF(blanks) { // added on the way: it does not count
			d.in.Discard(blanks)
			return out[:0]
		}
		b, _ := d.in.Peek(blanks)
		out = append(out, b...)
		d.in.Discard(blanks)
		return out
	}
	return append(out, c)
}

// blanks counts the white space ahead, and the bytes of the line end after it.
func (d *quotedReader) blanks() (blanks, end int) {
	for size := 4; ; size = min(2*size, maxBlank+2) {
		b, _ := d.in.Peek(size)
		for blanks < len(b) && (b[blanks] == ' ' || b[blanks] == '\t') {
			blanks++
		}
		if len(b) == size && size < maxBlank && blanks+2 > len(b) {
			continue
		}
		rest := b[blanks:]
		switch {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			end = 2
		case bytes.HasPrefix(rest, []byte("\n")):
			end = 1
		}
		return blanks, end
	}
}

func (d *quotedReader) atEOF(blanks int) bool {
	b, err := d.in.Peek(blanks + 1)
	return err != nil && len(b) == blanks
}

func hexValue(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
