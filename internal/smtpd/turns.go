package smtpd

import (
	"errors"
	"os"
	"time"
)

// awaitGreeting holds the greeting of an MX door back for a moment and reports
// whether the client waited for it, as it must (RFC 5321 section 3.1). Senders of
// spam that shoot and run do not. The wait costs the client the delay and us an
// idle connection; those who are trusted are greeted at once.
func (s *session) awaitGreeting() bool {
	delay := s.cfg.GreetDelay
	if delay <= 0 || s.trusted || s.cfg.Mode != MX {
		return true
	}
	err := os.ErrDeadlineExceeded
	if s.setIdle(true) {
		s.conn.ReadBy = time.Now().Add(delay)
		_, err = s.conn.Reader().Peek(1)
		s.conn.ReadBy = time.Time{}
	}
	s.setIdle(false) // a shutdown shows at the first command
	switch {
	case err == nil:
		s.hangUp("early talker", 554, enhanced(5, 5, 1), "Wait for the greeting before you speak")
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true
	}
	s.lost(err)
	return false
}

// outOfStep ends the session of a client that did not wait for the reply to a
// command after which it must: what follows EHLO depends on its reply, what
// follows DATA is content or commands as its reply says (RFC 2920 section 3.1),
// and what follows AUTH may answer a challenge. Were it read all the same, one
// could be taken for the other; as Postfix does it. STARTTLS has its own words.
func (s *session) outOfStep(verb string) bool {
	switch verb {
	case "HELO", "EHLO", "LHLO", "DATA", "AUTH":
	default:
		return false
	}
	if s.conn.Buffered() == 0 {
		return false
	}
	s.hangUp("out of step", 554, enhanced(5, 5, 0), "Nothing may follow "+verb+" before its reply")
	return true
}
