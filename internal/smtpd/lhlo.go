package smtpd

// cmdLHLO is EHLO for LMTP (RFC 2033 section 4.1).
func (s *session) cmdLHLO(arg string) {
	if !s.lmtp() {
		s.reply(500, enhanced(5, 5, 1), "This is SMTP, use EHLO")
		return
	}
	s.extendedHello("LHLO", arg)
}
