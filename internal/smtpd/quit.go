package smtpd

// cmdQUIT ends the session (RFC 5321 section 4.1.1.10).
func (s *session) cmdQUIT(arg string) {
	if arg != "" {
		s.badArguments("QUIT")
		return
	}
	s.hangUp("quit", 221, enhanced(2, 0, 0), "Bye")
}
