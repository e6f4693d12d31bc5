package smtpd

// cmdVRFY tells nobody who lives here (RFC 5321 section 7.3).
func (s *session) cmdVRFY(arg string) {
	if arg == "" {
		s.badArguments("VRFY address")
		return
	}
	s.reply(252, enhanced(2, 0, 0), "Cannot verify the address, but will take mail and try to deliver it")
}
