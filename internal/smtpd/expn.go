package smtpd

// cmdEXPN is not offered (RFC 5321 section 7.3).
func (s *session) cmdEXPN(string) {
	s.reply(502, enhanced(5, 5, 1), "EXPN not implemented")
}
