package smtpd

import (
	"strings"

	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// cmdHELO begins a session without extensions (RFC 5321 section 4.1.1.1).
func (s *session) cmdHELO(arg string) {
	if s.lmtp() {
		// RFC 2033 section 4.1.
		s.reply(500, enhanced(5, 5, 1), "This is LMTP, use LHLO")
		return
	}
	if s.hello("HELO", arg) {
		s.extended = false
		s.reply(250, status.Enhanced{}, s.cfg.Hostname)
	}
}

// hello takes the client's name; false when it is not one, and answered.
func (s *session) hello(verb, arg string) bool {
	if !smtp.ValidHelo(arg) {
		s.badArguments(verb + " hostname")
		return false
	}
	s.reset() // RFC 5321 section 4.1.4: like RSET
	s.helo = arg
	if strings.IndexFunc(arg, func(r rune) bool { return r > 0x7f }) >= 0 {
		// It will stand in a header of ASCII. ValidHelo knows that this works.
		s.helo, _ = smtp.ToASCII(arg)
	}
	return true
}
