package smtpd

// cmdRSET ends the mail transaction (RFC 5321 section 4.1.1.5).
func (s *session) cmdRSET(arg string) {
	if arg != "" {
		s.badArguments("RSET")
		return
	}
	s.reset()
	s.reply(250, enhanced(2, 0, 0), "Ok")
}
