package smtpd

import "posthouse/internal/smtp"

// cmdEHLO begins a session with extensions (RFC 5321 section 4.1.1.1).
func (s *session) cmdEHLO(arg string) {
	if s.lmtp() {
		s.reply(500, enhanced(5, 5, 1), "This is LMTP, use LHLO")
		return
	}
	s.extendedHello("EHLO", arg)
}

func (s *session) extendedHello(verb, arg string) {
	if !s.hello(verb, arg) {
		return
	}
	s.extended = true
	s.send(smtp.Reply{Code: 250, Lines: append([]string{s.cfg.Hostname}, s.announced()...)})
}
