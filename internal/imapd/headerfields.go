package imapd

import (
	"bytes"
	"io"
	"strings"

	"posthouse/internal/imap"
)

// headerWindow is how much of a header HEADER.FIELDS looks at together.
const headerWindow = 256 << 10

// headerFields writes HEADER.FIELDS and HEADER.FIELDS.NOT: the chosen fields as
// they are, and the empty line. What is sent must be measured before, so a header
// longer than a window is read twice and never held.
func (f *fetcher) headerFields(it *imap.FetchItem, body io.ReaderAt, x extent) error {
	s := f.s
	r := newFieldReader(body, x, it.Section)
	var fields []byte // the latest chunk
	size, chunks := int64(0), 0
	for !r.done {
		var err error
		if fields, err = f.nextFields(r); err != nil {
			return err
		}
		size += int64(len(fields))
		chunks++
	}
	part := extent{0, size, true}
	if it.Partial {
		part = part.part(it.Offset, it.Count)
	}
	b := appendUint(append(s.buf(), '{'), uint64(part.size()))
	s.out = append(b, "}\r\n"...)
	if chunks == 1 {
		s.out = append(s.out, fields[part.from:part.to]...)
		return nil
	}
	r.rewind()
	for at := int64(0); at < part.to; at += int64(len(fields)) {
		var err error
		if fields, err = f.nextFields(r); err != nil {
			return err
		}
		from, to := max(part.from-at, 0), min(part.to-at, int64(len(fields)))
		if from < to {
			s.out = append(s.buf(), fields[from:to]...)
			s.pressure()
		}
	}
	return nil
}

// nextFields is the next chunk, as it is sent. After an error the session is over.
func (f *fetcher) nextFields(r *fieldReader) ([]byte, error) {
	fields, n, err := r.next()
	if err != nil {
		f.s.unreadable(err)
		return nil, errAnswered
	}
	maskNUL(fields)
	return fields, f.s.worked(n)
}

// fieldReader reads the chosen fields of a header.
type fieldReader struct {
	body  io.ReaderAt
	x     extent
	names []string
	with  bool // the fields with the names, or those without

	buf  []byte
	at   int64 // what was judged already ends here
	keep bool  // the field at hand is chosen
	mid  bool  // at is inside a line
	done bool
}

func newFieldReader(body io.ReaderAt, x extent, sec imap.Section) *fieldReader {
	return &fieldReader{
		body: body, x: x, names: sec.Fields, with: sec.Kind == imap.SectionHeaderFields,
		buf: make([]byte, min(x.size(), headerWindow)), at: x.from,
	}
}

// rewind goes back to the start of the header.
func (r *fieldReader) rewind() {
	r.at, r.keep, r.mid, r.done = r.x.from, false, false, false
}

// next gives the chosen fields of the next window, perhaps none, and how much was
// read. They are valid until it is called again; with the last comes the empty line.
func (r *fieldReader) next() (fields []byte, read int64, err error) {
	lines := r.buf[:min(int64(len(r.buf)), r.x.to-r.at)]
	if n, err := r.body.ReadAt(lines, r.at); err != nil && n < len(lines) {
		return nil, 0, err
	}
	read = int64(len(lines))
	if r.done = r.at+read == r.x.to; !r.done {
		if i := bytes.LastIndexByte(lines, '\n'); i >= 0 { // else a line longer than a window
			lines = lines[:i+1]
		}
	}
	r.at += int64(len(lines))
	if fields = r.choose(lines); r.done {
		fields = append(fields, "\r\n"...)
	}
	return fields, read, nil
}

// choose keeps the chosen fields, in place.
func (r *fieldReader) choose(lines []byte) []byte {
	out := lines[:0]
	for len(lines) > 0 {
		line := lines
		i := bytes.IndexByte(lines, '\n')
		if i >= 0 {
			line = lines[:i+1]
		}
		lines = lines[len(line):]
		switch {
		case r.mid:
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			r.done = true
			return out
		case line[0] != ' ' && line[0] != '\t':
			r.keep = hasName(line, r.names) == r.with
		}
		r.mid = i < 0
		if r.keep {
			out = append(out, line...)
		}
	}
	return out
}

func hasName(line []byte, names []string) bool {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return false
	}
	name := string(bytes.TrimRight(line[:i], " \t"))
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
