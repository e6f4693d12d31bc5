package imapd

import (
	"bytes"
	"errors"

	"posthouse/internal/imap"
)

// cmdIdle: RFC 2177. While one goroutine waits for DONE this one waits for
// changes; both have little on their stacks, because thousands of sessions sit
// here.
func (s *session) cmdIdle(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	if s.sel != nil {
		s.update(true, nil)
		if s.state == loggedOut {
			return "", errAnswered
		}
	}
	s.goAhead("idling")
	s.releaseOut()
	if s.err != nil {
		return "", errAnswered
	}
	done := make(chan error, 1)
	go s.awaitDone(done)
	var changed <-chan struct{}
	if s.sel != nil {
		changed = s.sel.changed
	}
	for {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, errNotDone) {
				s.readFailed(err)
				return "", errAnswered
			}
			if err != nil {
				return "", imap.SyntaxError("Expected DONE")
			}
			return "", nil
		case <-changed:
			s.update(true, nil)
			s.flush()
			s.releaseOut()
			if s.state == loggedOut {
				// Wake the reader; it must be gone before the session goes on.
				s.conn.Interrupt()
				<-done
				return "", errAnswered
			}
		}
	}
}

var errNotDone = errors.New("not DONE")

// awaitDone reads the line that ends IDLE.
func (s *session) awaitDone(done chan<- error) {
	line, err := s.conn.ReadLine(maxLineStranger)
	if err == nil && !bytes.EqualFold(bytes.TrimSpace(line), []byte("DONE")) {
		err = errNotDone
	}
	done <- err
}
