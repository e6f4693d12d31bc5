package smtpd

// cmdHELP names the specifications (RFC 5321 section 4.1.1.8).
func (s *session) cmdHELP(string) {
	text := "SMTP, see RFC 5321"
	if s.lmtp() {
		text = "LMTP, see RFC 2033"
	}
	s.reply(214, enhanced(2, 0, 0), text)
}
