package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// cmdDATA takes the content of a message up to a line with a dot alone (RFC 5321
// section 4.1.1.4).
func (s *session) cmdDATA(arg string) {
	switch {
	case arg != "":
		s.badArguments("DATA")
		return
	case s.in != nil:
		s.badSequence("DATA and BDAT do not mix") // RFC 3030 section 2
		return
	case s.env != nil && s.env.Body == envelope.BodyBinary:
		s.badSequence("BODY=BINARYMIME needs BDAT") // RFC 3030 section 3
		return
	case !s.contentAllowed():
		return
	}
	in, err := s.openInflow()
	if err != nil {
		s.refuse(err, "DATA")
		s.reset()
		return
	}
	s.in = in
	s.reply(354, status.Enhanced{}, "End data with <CRLF>.<CRLF>")
	err = s.conn.Flush()
	if err == nil {
		err = s.receiveLines(in)
	}
	if err != nil {
		s.contentLost(in, err)
		return
	}
	s.conclude(in)
}

// contentAllowed judges whether there is somebody to send content to, and
// answers when not.
func (s *session) contentAllowed() bool {
	switch {
	case s.env == nil:
		s.badSequence("MAIL first")
	case len(s.env.Rcpts) == 0 && s.lmtp():
		s.badSequence("No valid recipients") // RFC 2033 section 4.2
	case len(s.env.Rcpts) == 0:
		s.reply(554, enhanced(5, 5, 1), "No valid recipients") // RFC 5321 section 3.3
	default:
		return true
	}
	return false
}
