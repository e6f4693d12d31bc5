package imapd

import (
	"bytes"
	"errors"
	"io"
	"time"

	"posthouse/internal/imap"
	"posthouse/internal/sasl"
)

// Bounds of a command, in bytes. Sequence sets may be long (RFC 7162 section 4
// speaks of 8,192; clients send more). A stranger's may hold a SASL response.
const (
	maxLine            = 1 << 20
	maxLineStranger    = sasl.MaxLine + 512
	maxLiteral         = 64 << 10
	maxLiteralStranger = 4 << 10
	maxCommand         = maxLine + 256<<10
	maxDrain           = 1 << 20 // of a refused non-synchronising literal
)

// received is a command as it came. raw is valid until the next read. When
// append is set, raw ends with the announcement of the message literal, which is
// still to be read.
type received struct {
	raw     []byte
	append  *imap.Append
	literal imap.Literal
}

// overflow ends the session with a BYE; why is the end's name.
type overflow struct{ why, text string }

func (e *overflow) Error() string { return e.text }

// readCommand reads a command with its literals. Refused ones are answered here
// and the next command is read. It must be whole in time, however it drips in.
func (s *session) readCommand() (received, error) {
	defer func() { s.conn.ReadBy = s.loginBy }()
	for {
		s.conn.ReadBy = time.Now().Add(s.patience())
		if !s.loginBy.IsZero() && s.loginBy.Before(s.conn.ReadBy) {
			s.conn.ReadBy = s.loginBy
		}
		c, again, err := s.readOne()
		if err != nil || !again {
			return c, err
		}
		if s.state == loggedOut {
			return received{}, &overflow{"errors", "Too many bad commands"}
		}
		s.rest()
	}
}

// patience is how long the next command may take.
func (s *session) patience() time.Duration {
	if !s.loginBy.IsZero() && s.pass != nil && s.srv.gate.Crowded() {
		return min(s.conn.ReadTimeout, crowdedTimeout)
	}
	return s.conn.ReadTimeout
}

func (s *session) readOne() (c received, again bool, err error) {
	lineMax := maxLine
	if s.state == notAuthenticated {
		lineMax = maxLineStranger
	}
	var whole []byte
	for {
		line, err := s.conn.ReadLine(lineMax)
		if err != nil {
			return c, false, err
		}
		lit, ok := imap.LiteralAtEnd(line)
		if !ok && whole == nil {
			return received{raw: line}, false, nil
		}
		whole = append(whole, line...)
		if !ok {
			return received{raw: whole}, false, nil
		}
		a, fault := s.appendHead(whole)
		switch {
		case a != nil:
			return received{raw: whole, append: a, literal: lit}, false, nil
		case fault != nil && s.state != notAuthenticated:
			return c, true, s.refuseLiteral(whole, lit, fault.Error(), s.drainMessage())
		case s.literalTooBig(lit, len(whole)):
			return c, true, s.refuseLiteral(whole, lit, "[TOOBIG] Literal too big", s.drainLiteral())
		}
		if whole, err = s.readLiteral(whole, lit); err != nil {
			return c, false, err
		}
	}
}

// appendHead looks for an APPEND whose message comes next, or one that must not
// come for a fault in front of it.
func (s *session) appendHead(whole []byte) (*imap.Append, error) {
	i := bytes.IndexByte(whole, ' ')
	if i < 0 || len(whole) < i+8 || !bytes.EqualFold(whole[i+1:i+7], []byte("APPEND")) {
		return nil, nil
	}
	_, a, ok, fault := imap.AppendHead(whole)
	if !ok {
		return nil, fault
	}
	return &a, nil
}

func (s *session) literalTooBig(lit imap.Literal, sofar int) bool {
	limit := uint64(maxLiteral)
	if s.state == notAuthenticated {
		limit = maxLiteralStranger
	}
	return lit.Size > limit || uint64(sofar)+lit.Size > maxCommand
}

func (s *session) readLiteral(whole []byte, lit imap.Literal) ([]byte, error) {
	if lit.Sync {
		s.goAhead("OK")
	}
	whole = append(whole, "\r\n"...)
	n := len(whole)
	whole = append(whole, make([]byte, lit.Size)...)
	_, err := io.ReadFull(s.conn.Reader(), whole[n:])
	return whole, err
}

// refuseLiteral answers a command whose literal is not taken. A synchronising
// literal is never sent (RFC 9051 section 4.3); another one must be read, and limit
// is how much of it is.
func (s *session) refuseLiteral(head []byte, lit imap.Literal, text string, limit uint64) error {
	s.tag, s.name = imap.NewParser(head).CommandStart()
	if s.tag == "" {
		s.tag = "*"
	}
	if !lit.Sync {
		if err := s.drainCommand(lit, limit); err != nil {
			return err
		}
	}
	s.badCommand(text)
	return nil
}

// drainLiteral and drainMessage are how much is read of a literal, and of a
// message, that is not taken.
func (s *session) drainLiteral() uint64 {
	if s.state == notAuthenticated {
		return maxLiteral
	}
	return maxDrain
}

func (s *session) drainMessage() uint64 {
	if s.state == notAuthenticated {
		return maxLiteral
	}
	return max(2*uint64(s.srv.cfg.MaxMessageSize), maxDrain)
}

// drainCommand throws away a non-synchronising literal and what is left of its
// command, limit bytes at most. It stops at a synchronising literal, which the
// client will not send.
func (s *session) drainCommand(lit imap.Literal, limit uint64) error {
	for {
		if lit.Size > limit {
			return &overflow{"flood", "[TOOBIG] Literal too big"}
		}
		limit -= lit.Size
		if _, err := io.CopyN(io.Discard, s.conn.Reader(), int64(lit.Size)); err != nil {
			return err
		}
		line, err := s.conn.ReadLine(maxLine)
		if err != nil {
			return err
		}
		var more bool
		if lit, more = imap.LiteralAtEnd(line); !more || lit.Sync {
			return nil
		}
	}
}

// drainAppend disposes of the message of an APPEND that is refused: nothing is
// to do for a synchronising literal.
func (s *session) drainAppend(c received) {
	if c.append == nil || c.literal.Sync {
		return
	}
	if err := s.drainCommand(c.literal, s.drainMessage()); err != nil {
		var over *overflow
		if errors.As(err, &over) {
			s.bye(over.why, over.text)
			return
		}
		s.readFailed(err)
	}
}
