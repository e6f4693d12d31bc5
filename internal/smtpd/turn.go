package smtpd

// cmdTURN would give mail to whoever asks (RFC 5321 appendix F.1).
func (s *session) cmdTURN(string) {
	s.reply(502, enhanced(5, 5, 1), "TURN not implemented")
}
