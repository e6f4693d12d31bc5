package pop3d

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"posthouse/internal/mailbox"
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
	if err != nil {
		s.failed("open a message", err)
		return
	}
	defer body.Close()
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	out := make([]byte, 0, min(int(body.Size())+body4dots, chunkSize))
	st := stuffer{lines: lines, atStart: true, crlf: true}
	var in io.Reader = io.NewSectionReader(body, 0, body.Size())
	first, err := io.ReadFull(in, (*chunk)[:min(chunkSize, int(body.Size()))])
	if err != nil && body.Size() > 0 {
		s.failed("read a message", err)
		return
	}
	s.ok("%d octets", body.Size())
	for n := first; n > 0 && !st.done; {
		out = st.append(out[:0], (*chunk)[:n])
		if _, err := s.conn.Writer().Write(out); err != nil {
			return
		}
		if n, err = in.Read(*chunk); err != nil && err != io.EOF {
			s.failed("read a message", err)
			s.quit = true // the client cannot tell where the message ends
			return
		}
	}
	if !st.atStart || !st.crlf {
		s.line("") // the dot must stand on a line of its own
	}
	s.line(".")
	s.sent++
}

// body4dots is room for some stuffed dots.
const body4dots = 64

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
