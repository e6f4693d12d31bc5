package imapd

import (
	"io"

	"posthouse/internal/blob"
	"posthouse/internal/imap"
	"posthouse/internal/message"
)

// binary writes BINARY[...] and BINARY.SIZE[...]: the part without its transfer
// encoding (RFC 3516 section 4.3).
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
	encoding, known := encodingOf(part, len(it.Section.Part) == 0)
	if !known { // RFC 3516 section 4.3: NO [UNKNOWN-CTE], and no data
		f.unknownCTE = true
		s.out = append(it.AppendName(s.out), " NIL"...)
		return nil
	}
	x := locate(sum, it.Section, body.Size())
	d, err := f.decoded(partKey{f.message, x.from, x.to, encoding}, body)
	if err != nil {
		return err
	}
	if it.Kind == imap.FetchBinarySize {
		s.out = appendUint(append(it.AppendName(s.out), ' '), uint64(d.size))
		return nil
	}
	whole := extent{0, d.size, true}
	if it.Partial {
		whole = whole.part(it.Offset, it.Count)
	}
	return f.sendDecoded(it, d, body, whole)
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
	if _, known := encodingOf(part, len(it.Section.Part) == 0); known {
		return false
	}
	f.unknownCTE = true
	return true
}

// sendDecoded writes the bytes x of a part.
func (f *fetcher) sendDecoded(it *imap.FetchItem, d *decoded, body io.ReaderAt, x extent) error {
	s := f.s
	hasNUL, err := d.hasNUL(s, body, x)
	if err != nil {
		return err
	}
	b := append(it.AppendName(s.out), ' ')
	if hasNUL {
		b = append(b, '~') // literal8
	}
	b = appendUint(append(b, '{'), uint64(x.size()))
	s.out = append(b, "}\r\n"...)
	return d.each(s, body, x, func(piece []byte) bool {
		s.out = append(s.buf(), piece...)
		s.pressure()
		return s.err == nil
	})
}

// encodingOf is the encoding that is undone for a part, "" for none. The whole
// message and what has parts of its own are sent as they are.
func encodingOf(p *message.Part, whole bool) (encoding string, known bool) {
	if whole || len(p.Parts) > 0 || p.Message != nil {
		return "", true
	}
	return p.Encoding, message.KnownEncoding(p.Encoding)
}
