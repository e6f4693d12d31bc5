package imapd

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"posthouse/internal/blob"
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// openBody opens the bytes of a message; nil when it is gone or damaged.
func (f *fetcher) openBody(it *item) (blob.Body, error) {
	body, err := f.s.sel.mbox.Body(f.s.ctx, it.entry)
	switch {
	case errors.Is(err, mailbox.ErrGone):
		f.gone = true
		return nil, nil
	case errors.Is(err, mailbox.ErrDamaged):
		f.s.damaged(err)
		f.damaged = true
		return nil, nil
	}
	return body, err
}

// passOver takes note of why a message has no summary.
func (f *fetcher) passOver(it *item) error {
	body, err := f.openBody(it)
	if body != nil { // what is gone takes both with it
		f.damaged = true
		f.s.log().Error("a message has no summary", "login", f.s.login, "mailbox", f.s.sel.mbox.Name(), "uid", it.entry.UID)
		body.Close()
	}
	return err
}

// extent is the bytes [from, to) of a message; ok is false for what does not
// exist, which is NIL.
type extent struct {
	from, to int64
	ok       bool
}

func (x extent) size() int64 { return max(x.to-x.from, 0) }

// section writes BODY[...] or one of the RFC822 items.
func (f *fetcher) section(it *imap.FetchItem, body blob.Body, sum *message.Summary) error {
	s := f.s
	s.out = append(it.AppendName(s.out), ' ')
	sec := it.Section
	switch it.Kind {
	case imap.FetchRFC822Header:
		sec.Kind = imap.SectionHeader
	case imap.FetchRFC822Text:
		sec.Kind = imap.SectionText
	}
	var x extent
	if sum == nil {
		x = extent{0, body.Size(), true}
	} else {
		x = locate(sum, sec, body.Size())
	}
	if !x.ok {
		s.out = append(s.out, "NIL"...)
		return nil
	}
	if sec.Kind == imap.SectionHeaderFields || sec.Kind == imap.SectionHeaderFieldsNot {
		return f.headerFields(it, body, x)
	}
	if it.Partial {
		x = x.part(it.Offset, it.Count)
	}
	return s.sendExtent(body, x)
}

// part is the <offset.count> of an extent; beyond its end it is empty.
func (x extent) part(offset, count uint64) extent {
	x.from += int64(min(offset, uint64(x.size())))
	x.to = x.from + int64(min(count, uint64(x.size())))
	return x
}

// sendExtent writes a literal, reading through the output buffer. Once its size
// is announced a failure can only end the connection.
func (s *session) sendExtent(body io.ReaderAt, x extent) error {
	b := append(s.buf(), '{')
	b = appendUint(b, uint64(x.size()))
	s.out = append(b, "}\r\n"...)
	for x.from < x.to {
		if len(s.out) >= highWater || cap(s.out) == len(s.out) {
			s.flush()
			if s.err != nil {
				return errAnswered
			}
		}
		b := s.buf()
		n, err := body.ReadAt(b[len(b):min(int64(cap(b)), int64(len(b))+x.to-x.from)], x.from)
		s.out = b[:len(b)+n]
		maskNUL(s.out[len(b):])
		x.from += int64(n)
		if err != nil && x.from < x.to {
			s.unreadable(err)
			return errAnswered
		}
	}
	return nil
}

// maskNUL puts 0x80 in the place of NUL, which has no place in a literal (CHAR8,
// RFC 9051 section 9); Dovecot does the same. BINARY[] gives it as it is.
func maskNUL(b []byte) {
	for i := bytes.IndexByte(b, 0); i >= 0; i = bytes.IndexByte(b, 0) {
		b[i] = 0x80
		b = b[i+1:]
	}
}

// locate finds a section in a message of the given size (RFC 9051 section
// 6.4.5.1).
func locate(sum *message.Summary, sec imap.Section, size int64) extent {
	part, end, ok := findPart(sum, sec.Part, size)
	if !ok {
		return extent{}
	}
	x := extent{ok: true}
	switch sec.Kind {
	case imap.SectionAll:
		if len(sec.Part) == 0 {
			x.from, x.to = 0, size
		} else {
			x.from, x.to = part.BodyStart, part.BodyEnd
		}
	case imap.SectionMIME:
		x.from, x.to = part.HeaderStart, part.BodyStart
	default:
		// HEADER and TEXT are of a message: the whole one, or one inside.
		root := part
		if len(sec.Part) > 0 {
			if root, end = inside(part), part.BodyEnd; root == nil {
				return extent{}
			}
		}
		if sec.Kind == imap.SectionText {
			x.from, x.to = root.BodyStart, end
		} else {
			x.from, x.to = root.HeaderStart, root.BodyStart
		}
	}
	x.from = min(max(x.from, 0), size)
	x.to = min(max(x.to, x.from), size)
	return x
}

// findPart follows part numbers; end is where the part's body ends.
func findPart(sum *message.Summary, path []uint32, size int64) (p *message.Part, end int64, ok bool) {
	p, end = &sum.Root, size
	for depth, n := range path {
		if in := inside(p); depth > 0 && in != nil {
			p = in
		} else if depth > 0 && len(p.Parts) == 0 {
			return nil, 0, false
		}
		switch {
		case len(p.Parts) > 0:
			if int64(n) > int64(len(p.Parts)) {
				return nil, 0, false
			}
			p = &p.Parts[n-1]
		case n != 1: // what is not a multipart has one part, itself
			return nil, 0, false
		}
		end = p.BodyEnd
	}
	return p, end, true
}

// inside is the message in a part, nil when it has none. One that the parser does
// not look into, for it is encoded against RFC 2046 section 5.2.1, is empty: so
// BODYSTRUCTURE shows it.
func inside(p *message.Part) *message.Part {
	switch {
	case p.Message != nil:
		return &p.Message.Root
	case strings.EqualFold(p.Type, "message") && (strings.EqualFold(p.Subtype, "rfc822") || strings.EqualFold(p.Subtype, "global")):
		return &message.Part{HeaderStart: p.BodyEnd, BodyStart: p.BodyEnd, BodyEnd: p.BodyEnd}
	}
	return nil
}
