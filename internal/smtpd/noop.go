package smtpd

// cmdNOOP does nothing; an argument is ignored (RFC 5321 section 4.1.1.9).
func (s *session) cmdNOOP(string) {
	s.reply(250, enhanced(2, 0, 0), "Ok")
}
