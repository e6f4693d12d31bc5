package imapd

import (
	"bytes"
	"io"
	"sort"

	"posthouse/internal/blob"
	"posthouse/internal/message"
)

// partKey names a part of a message in the session's account: its bytes [from, to)
// and the encoding that is undone.
type partKey struct {
	message  uint64
	from, to int64
	encoding string
}

// decoded is a part with its transfer encoding undone. The first look goes through
// all of it and leaves marks, from which later ones go on: who fetches a large part
// in a thousand pieces has it decoded twice, and not a thousand times.
type decoded struct {
	partKey
	size  int64  // without the encoding
	marks []mark // nil for a part that is not encoded
}

// mark is a place that decoding can go on from: from there to the next mark is a
// stretch.
type mark struct {
	raw, at int64 // in the message, in the decoded part
	dec     message.TransferDecoder
	nul     bool // the stretch has a NUL
}

// minStretch is how many encoded bytes lie between marks, in a part of up to
// maxMarks of them; a larger part has longer stretches.
const (
	minStretch = 64 << 10
	maxMarks   = 1 << 10
)

// keptParts is how many parts a session remembers between commands.
const keptParts = 16

// decoded finds a part among those of the message looked at last, or looks at it.
func (f *fetcher) decoded(key partKey, body blob.Body) (*decoded, error) {
	s := f.s
	if d := s.parts[key]; d != nil {
		return d, nil
	}
	for k := range s.parts {
		if k.message != key.message {
			clear(s.parts)
		}
		break
	}
	d, err := newDecoded(s, key, body)
	if err != nil {
		return nil, err
	}
	if s.parts == nil {
		s.parts = make(map[partKey]*decoded)
	}
	s.parts[key] = d
	return d, nil
}

// forgetParts drops what is too much to keep while the client thinks.
func (s *session) forgetParts() {
	if len(s.parts) > keptParts {
		s.parts = nil
	}
}

func newDecoded(s *session, key partKey, body io.ReaderAt) (*decoded, error) {
	d := &decoded{partKey: key, size: key.to - key.from}
	dec := message.NewTransferDecoder(key.encoding)
	if dec == nil {
		return d, nil
	}
	stretch := max(minStretch, (key.to-key.from)/maxMarks)
	d.marks = []mark{{raw: key.from, dec: dec.Clone()}}
	c := newCursor(body, mark{raw: key.from, dec: dec}, key.to)
	defer c.close()
	for {
		piece, err := c.next(s)
		if err != nil || piece == nil {
			d.size = c.at
			return d, err
		}
		last := &d.marks[len(d.marks)-1]
		last.nul = last.nul || bytes.IndexByte(piece, 0) >= 0
		if c.raw-last.raw >= stretch && c.raw < key.to {
			d.marks = append(d.marks, mark{raw: c.raw, at: c.at, dec: c.dec.Clone()})
		}
	}
}

// start is the last mark at or before a place in the decoded part.
func (d *decoded) start(at int64) (i int) {
	return sort.Search(len(d.marks), func(i int) bool { return d.marks[i].at > at }) - 1
}

// hasNUL reports whether there is a NUL among the bytes x, or in the same stretch
// of an encoded part: more than must be may be sent as a literal8.
func (d *decoded) hasNUL(s *session, body io.ReaderAt, x extent) (bool, error) {
	found := false
	if d.marks == nil || x.size() == 0 {
		err := d.each(s, body, x, func(piece []byte) bool {
			found = bytes.IndexByte(piece, 0) >= 0
			return !found
		})
		return found, err
	}
	for i := d.start(x.from); i < len(d.marks) && d.marks[i].at < x.to; i++ {
		found = found || d.marks[i].nul
	}
	return found, nil
}

// each gives the bytes x of the decoded part, piece by piece, until yield says no.
func (d *decoded) each(s *session, body io.ReaderAt, x extent, yield func(piece []byte) bool) error {
	if x.size() == 0 {
		return nil
	}
	m := mark{raw: d.from + x.from, at: x.from}
	if d.marks != nil {
		m = d.marks[d.start(x.from)]
		m.dec = m.dec.Clone()
	}
	c := newCursor(body, m, d.to)
	defer c.close()
	for c.at < x.to {
		at := c.at
		piece, err := c.next(s)
		if err != nil {
			return err
		}
		if piece == nil { // the store has another body than before
			s.unreadable(io.ErrUnexpectedEOF)
			return errAnswered
		}
		piece = piece[:min(int64(len(piece)), x.to-at)]
		piece = piece[min(int64(len(piece)), max(x.from-at, 0)):]
		if len(piece) > 0 && !yield(piece) {
			break
		}
	}
	if s.err != nil {
		return errAnswered
	}
	return nil
}

// cursor walks through a part from a mark to its end.
type cursor struct {
	mark // where it is
	body io.ReaderAt
	to   int64
	in   *[]byte
	out  *[]byte
	end  bool
}

// pieceSize leaves room in a buffer for what a decoder held back.
const pieceSize = copySize - 1<<10

func newCursor(body io.ReaderAt, from mark, to int64) *cursor {
	return &cursor{mark: from, body: body, to: to, in: copyPool.Get().(*[]byte), out: copyPool.Get().(*[]byte)}
}

func (c *cursor) close() {
	copyPool.Put(c.in)
	copyPool.Put(c.out)
}

// next decodes a piece, which may be empty and is valid until the call after; nil
// after the last one. What fails ends the session: the error is errAnswered.
func (c *cursor) next(s *session) ([]byte, error) {
	if c.end {
		return nil, nil
	}
	in := (*c.in)[:min(pieceSize, c.to-c.raw)]
	if n, err := c.body.ReadAt(in, c.raw); n < len(in) {
		s.unreadable(err)
		return nil, errAnswered
	}
	if err := s.worked(int64(len(in))); err != nil {
		return nil, err
	}
	c.raw += int64(len(in))
	c.end = c.raw == c.to
	piece := in
	if c.dec != nil {
		piece = c.dec.Decode((*c.out)[:0], in)
		if c.end {
			piece = c.dec.Finish(piece)
		}
	}
	c.at += int64(len(piece))
	return piece, nil
}
