package smtpd

import (
	"errors"
	"os"
	"sync"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// inflow is the content of one message on its way to a Transfer.
type inflow struct {
	transfer Transfer // nil when it is broken from the start
	limit    int64
	size     int64 // octets of content so far
	seen     int64 // octets read, those thrown away included
	began    time.Time
	by       time.Time // when it must be here
	err      error     // what went wrong first; the transfer is aborted
	lines    lineRule
	bare     bool // err is about line ends
}

var (
	errAborted  = errors.New("smtpd: message aborted")
	errEndless  = errors.New("smtpd: refused message does not end")
	errNotTaken = errors.New("smtpd: message not wanted")
)

// drainExtra is how much is read and thrown away of a refused message beyond
// the largest message that could have been, in octets.
const drainExtra = 16 << 20

func (s *session) openInflow() (*inflow, error) {
	t, err := s.srv.handler.Data(s.srv.ctx, s.env)
	if err != nil {
		return nil, err
	}
	in := s.newInflow()
	in.transfer = t
	return in, nil
}

func (s *session) newInflow() *inflow {
	return &inflow{
		limit: s.cfg.Limits.MessageSize, began: s.cfg.Clock.Now(),
		by: time.Now().Add(s.cfg.Timeouts.Message), lines: s.ruleFor(s.env),
	}
}

// brokenInflow takes content that is thrown away.
func (s *session) brokenInflow(err error) *inflow {
	if err == nil {
		err = errNotTaken
	}
	in := s.newInflow()
	in.err = err
	return in
}

func (in *inflow) write(p []byte, tooLarge func() *status.Error) {
	in.seen += int64(len(p))
	if in.err != nil || len(p) == 0 {
		return
	}
	p, ok := in.lines.next(p)
	if !ok {
		in.bare = true
		in.fail(bareNewline())
		return
	}
	in.pass(p, tooLarge)
}

// finish gives out what was held back until the end.
func (in *inflow) finish(tooLarge func() *status.Error) {
	if in.err != nil {
		return
	}
	p, ok := in.lines.end()
	if !ok {
		in.bare = true
		in.fail(bareNewline())
		return
	}
	in.pass(p, tooLarge)
}

func (in *inflow) pass(p []byte, tooLarge func() *status.Error) {
	if len(p) == 0 {
		return
	}
	if in.size += int64(len(p)); in.size > in.limit {
		in.fail(tooLarge())
		return
	}
	if _, err := in.transfer.Write(p); err != nil {
		in.fail(err)
	}
}

func (in *inflow) fail(err error) {
	if in.err == nil {
		in.err = err
		in.transfer.Abort()
	}
}

func (in *inflow) abort() { in.fail(errAborted) }

// minRate is the slowest that content may come on the whole, in octets a second:
// without it a client that sends an octet now and then would hold a place for as
// long as a large message may take. It is that of Postfix's per-request deadline.
const minRate = 500

// due is until when the next octets are waited for: the time that a block may
// take after the start, more for all that has come, and never beyond the time
// for the whole.
func (in *inflow) due(t *Timeouts) time.Time {
	earned := time.Duration(in.seen/minRate) * time.Second
	due := in.by.Add(t.Data - t.Message + earned)
	if due.After(in.by) {
		return in.by
	}
	return due
}

// contentBuffer is the size of the pieces that content is read in: large, for
// few system calls and windows that stay open; only messages under way hold one.
const contentBuffer = 64 << 10

var contentBuffers = sync.Pool{New: func() any { return new([contentBuffer]byte) }}

// receiveLines reads the content after DATA, to its end. Whatever becomes of the
// content, on nil the input stands behind the final dot.
func (s *session) receiveLines(in *inflow) error {
	buf := contentBuffers.Get().(*[contentBuffer]byte)
	defer contentBuffers.Put(buf)
	in.lines.dots = true
	var u unstuffer
	n := u.start(buf[:])
	for {
		m, err := s.readContent(in, buf[n:])
		if err != nil {
			return err
		}
		out, used, done := u.scan(buf[:n+m])
		in.write(out, s.tooLarge)
		if done {
			s.conn.Unread(buf[used : n+m])
			return nil
		}
		n = copy(buf[:], buf[used:n+m])
	}
}

// receiveChunk reads the content after BDAT.
func (s *session) receiveChunk(in *inflow, size int64) error {
	buf := contentBuffers.Get().(*[contentBuffer]byte)
	defer contentBuffers.Put(buf)
	for size > 0 {
		n, err := s.readContent(in, buf[:min(size, int64(len(buf)))])
		if err != nil {
			return err
		}
		in.write(buf[:n], s.tooLarge)
		size -= int64(n)
	}
	return nil
}

// readContent reads what is there, once, within the bounds of time and size.
func (s *session) readContent(in *inflow, p []byte) (int, error) {
	if in.err != nil && in.seen > in.limit+drainExtra {
		return 0, errEndless
	}
	if s.conn.Buffered() == 0 {
		if err := s.conn.Flush(); err != nil {
			return 0, err
		}
	}
	s.conn.ReadTimeout, s.conn.ReadBy = s.cfg.Timeouts.Data, in.due(&s.cfg.Timeouts)
	if in.bare {
		// Who takes <LF>.<LF> for an end waits for us, and is to learn soon why there
		// is no answer.
		s.conn.ReadTimeout = min(s.conn.ReadTimeout, s.cfg.Timeouts.BareEnd)
	}
	n, err := s.conn.Reader().Read(p)
	s.conn.ReadTimeout, s.conn.ReadBy = s.cfg.Timeouts.Command, time.Time{}
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// contentLost ends the session when content ends before its end.
func (s *session) contentLost(in *inflow, err error) {
	in.abort()
	s.env, s.in = nil, nil
	why := in.err
	switch {
	case in.bare && errors.Is(err, os.ErrDeadlineExceeded):
		s.refuse(why, "content")
		s.over = "bare newline"
		return
	case !errors.Is(err, errEndless):
		s.lost(err)
		return
	}
	if errors.Is(why, errNotTaken) {
		why = s.tooLarge()
	}
	s.refuse(why, "content")
	s.over = "endless message"
}

// conclude commits a message and answers for it.
func (s *session) conclude(in *inflow) {
	env := s.env
	s.env, s.in = nil, nil
	in.finish(s.tooLarge)
	var out Outcome
	err := in.err
	if err == nil {
		out, err = in.transfer.Commit(s.srv.ctx)
	}
	s.cfg.Observer.Message(s.cfg.Door, in.size, s.cfg.Clock.Now().Sub(in.began), err)
	if err == nil {
		s.sum.Messages++
		s.conduct.delivered()
		s.sum.Octets += in.size
	}
	if s.lmtp() {
		s.answerEach(env, out, err)
		return
	}
	if err != nil {
		s.refuse(err, "content", "msg_id", string(env.ID))
		return
	}
	s.reply(250, enhanced(2, 0, 0), "Ok: queued as "+string(out.ID))
}

// answerEach is LMTP's reply for each recipient, in their order (RFC 2033
// section 4.2).
func (s *session) answerEach(env *envelope.Envelope, out Outcome, err error) {
	for i, r := range env.Rcpts {
		one := err
		if one == nil && i < len(out.Rcpts) {
			one = out.Rcpts[i]
		}
		if one != nil {
			s.refuse(one, "content", "msg_id", string(env.ID))
			continue
		}
		text := "Delivered, " + string(out.ID)
		if r.To.IsASCII() { // which recipient is meant helps those who read logs
			text = r.To.Path() + " delivered, " + string(out.ID)
		}
		s.reply(250, enhanced(2, 0, 0), text)
	}
}
