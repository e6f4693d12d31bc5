package imapd

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// copySize is how much of a literal is moved at a time.
const copySize = 32 << 10

var copyPool = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// cmdAppendBare answers an APPEND that has no message literal.
func (s *session) cmdAppendBare(p *imap.Parser) (string, error) {
	if p.AppendArgs(); p.Err() != nil && !p.AtEnd() {
		return "", p.Err()
	}
	return "", imap.SyntaxError("APPEND needs the message as a literal")
}

// cmdAppend: RFC 9051 section 6.3.12. The literal goes to the store as it comes.
func (s *session) cmdAppend(c received) (string, error) {
	a := c.append
	p := imap.NewParser(nil)
	name := s.mailboxName(p, a.Mailbox)
	lit := c.literal
	if err := s.appendRefusal(p, name, lit); err != nil {
		return "", s.refuseAppend(c, err)
	}
	in, err := s.srv.backend.NewIncoming(s.ctx, int64(lit.Size))
	if err != nil {
		return "", s.refuseAppend(c, err)
	}
	stored, err := s.receive(in, lit)
	if err != nil {
		in.Abort()
		return "", err
	}
	if stored != nil {
		in.Abort()
		return "", stored
	}
	date := a.Date
	if date.IsZero() {
		date = s.srv.cfg.Clock.Now()
	}
	d, err := s.acct.Append(s.ctx, name, in, flagBits(a.Flags.System), a.Flags.Keywords, date)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return "", refuse("[TRYCREATE] There is no such mailbox")
	}
	if err != nil {
		return "", err
	}
	s.appended++
	s.tellName(attributes{}, canonical(name), name)
	return fmt.Sprintf("[APPENDUID %d %d] ", d.UIDValidity, d.UID), nil
}

// refuseAppend disposes of a message that is not taken; when that ends the
// session, its BYE is the last word.
func (s *session) refuseAppend(c received, err error) error {
	if s.drainAppend(c); s.state == loggedOut {
		return errAnswered
	}
	return err
}

// appendRefusal is what can be said before the message is sent.
func (s *session) appendRefusal(p *imap.Parser, name string, lit imap.Literal) error {
	if err := p.Err(); err != nil {
		return err
	}
	if lit.Size > uint64(s.srv.cfg.MaxMessageSize) {
		return refuse("[TOOBIG] The message is too big")
	}
	if lit.Size == 0 { // RFC 3502 section 6.3.11: it cancels the APPEND
		return refuse("[CANNOT] A message cannot be empty")
	}
	_, err := s.acct.Status(s.ctx, name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return refuse("[TRYCREATE] There is no such mailbox")
	}
	return err
}

// receive moves the literal into in and reads the end of the command. stored is
// why the store did not take it; err ends the command, and the session where the
// connection failed.
func (s *session) receive(in *mailbox.Incoming, lit imap.Literal) (stored, err error) {
	if lit.Sync {
		s.goAhead("OK")
	}
	bp := copyPool.Get().(*[]byte)
	defer copyPool.Put(bp)
	for left := lit.Size; left > 0; {
		b := (*bp)[:min(left, copySize)]
		n, rerr := s.conn.Reader().Read(b)
		if n > 0 && stored == nil {
			_, stored = in.Write(b[:n])
		}
		left -= uint64(n)
		if rerr != nil {
			if errors.Is(rerr, io.EOF) {
				rerr = io.ErrUnexpectedEOF
			}
			s.readFailed(rerr)
			return stored, errAnswered
		}
	}
	line, rerr := s.conn.ReadLine(maxLine)
	if rerr != nil {
		s.readFailed(rerr)
		return stored, errAnswered
	}
	if len(line) > 0 {
		if more, ok := imap.LiteralAtEnd(line); ok && !more.Sync {
			if derr := s.drainCommand(more, maxDrain); derr != nil {
				s.readFailed(derr)
				return stored, errAnswered
			}
		}
		return stored, imap.SyntaxError("Unexpected text after the message")
	}
	return stored, nil
}
