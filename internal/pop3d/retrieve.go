package pop3d

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"posthouse/internal/blob"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// chunkSize is how much of a body is read and written at a time.
const chunkSize = 64 << 10

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// send writes message i; with lines >= 0 the header and that many lines of the
// body.
func (s *session) send(i, lines int) {
	e := s.snap.At(i)
	body, err := s.box.Body(s.srv.ctx, e)
	if errors.Is(err, mailbox.ErrGone) {
		s.err("Message was removed by another session")
		return
	}
	if errors.Is(err, mailbox.ErrDamaged) {
		s.refuseDamaged(err)
		return
	}
	if err != nil {
		s.failed("open a message", err)
		return
	}
	defer body.Close()
	st := &stuffer{lines: lines, atStart: true, crlf: true}
	in, octets, err := s.shown(body)
	if errors.Is(err, mailbox.ErrDamaged) {
		s.refuseDamaged(err)
		return
	}
	if err != nil {
		s.failed("read a message", err)
		return
	}
	s.ok("%d octets", octets)
	if !s.copy(in, st) {
		return
	}
	if !st.atStart || !st.crlf {
		s.line("") // the dot must stand on a line of its own
	}
	s.line(".")
	s.sent++
	if err := blob.Check(body); err != nil {
		s.damaged(err) // the client has got what there is: refused, it would come again for ever
	}
}

// damaged is for the operator: err says whose message it is.
func (s *session) damaged(err error) {
	s.log().Error("a message is damaged", "login", s.login, "err", err)
}

// refuseDamaged answers for a message that the disk has lost, and will not have
// tomorrow (RFC 3206 section 4).
func (s *session) refuseDamaged(err error) {
	s.damaged(err)
	s.err("[SYS/PERM] The message is damaged")
}

// copy writes a message; false when that went wrong, and the client cannot tell
// where it ends.
func (s *session) copy(in io.Reader, st *stuffer) bool {
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	var out []byte
	for !st.done {
		n, err := in.Read(*chunk)
		out = st.append(out[:0], (*chunk)[:n])
		if _, err := s.conn.Writer().Write(out); err != nil {
			return false
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			s.log().Error("a message cannot be read", "login", s.login, "err", err)
			s.conn.Close()
			s.over = "error"
			return false
		}
	}
	return true
}

// maxHeader is how long a header may be to be shown in ASCII, in bytes.
const maxHeader = 1 << 20

// shown is a message as this client may see it: with its header in ASCII unless
// it knows UTF-8 (RFC 6856 section 2.1, RFC 6858). It has so many octets.
func (s *session) shown(body blob.Body) (in io.Reader, octets int64, err error) {
	size := body.Size()
	for look := int64(firstLook); ; look *= 8 {
		head := make([]byte, min(look, maxHeader, size))
		if _, err := io.ReadFull(io.NewSectionReader(body, 0, size), head); err != nil {
			return nil, 0, err
		}
		end := message.HeaderEnd(head)
		whole := end < len(head) || int64(end) == size || end == maxHeader
		if !s.utf8 && !whole {
			continue
		}
		rest := io.NewSectionReader(body, int64(len(head)), size-int64(len(head)))
		if s.utf8 || end == maxHeader {
			return io.MultiReader(bytes.NewReader(head), rest), size, nil
		}
		header := message.Downgrade(message.Header(head[:end]))
		return io.MultiReader(bytes.NewReader(header), bytes.NewReader(head[end:]), rest), size + int64(len(header)-end), nil
	}
}

// firstLook is where most headers have ended, in bytes.
const firstLook = 8 << 10

// stuffer doubles dots at the start of lines (RFC 1939 section 3) and, for TOP,
// finds where to stop. A LF alone ends a line too, as it does for most clients:
// a lone dot after one must not look like the end of the message.
type stuffer struct {
	lines   int // of the body still to send; negative is all
	atStart bool
	inBody  bool
	text    bool // the line so far holds more than its end
	last    byte // that was taken in
	crlf    bool // the last line ended with CRLF
	done    bool
}

func (t *stuffer) append(out, in []byte) []byte {
	for len(in) > 0 && !t.done {
		if t.atStart {
			if t.inBody && t.lines == 0 {
				t.done = true
				break
			}
			if in[0] == '.' {
				out = append(out, '.')
			}
			t.atStart, t.text = false, false
		}
		part := in
		if end := bytes.IndexByte(in, '\n'); end >= 0 {
			part = in[:end+1]
		}
		in = in[len(part):]
		out = append(out, part...)
		t.took(part)
	}
	return out
}

// took looks at a piece of a line.
func (t *stuffer) took(part []byte) {
	line, ended := bytes.CutSuffix(part, []byte("\n"))
	before := t.last
	if len(line) > 0 {
		before = line[len(line)-1]
	}
	t.text = t.text || len(bytes.TrimSuffix(line, []byte("\r"))) > 0
	t.last = part[len(part)-1]
	if !ended {
		return
	}
	t.atStart, t.crlf = true, before == '\r'
	switch {
	case !t.inBody:
		t.inBody = !t.text
	case t.lines > 0:
		t.lines--
	}
}
