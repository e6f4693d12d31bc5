package smtpd

// startTLSExtension is STARTTLS (RFC 3207): not offered once TLS is active.
func startTLSExtension() extension {
	return extension{
		keyword: "STARTTLS",
		offered: func(s *session) (string, bool) { return "", s.cfg.TLS != nil && s.conn.TLS() == nil },
	}
}

// cmdSTARTTLS begins TLS (RFC 3207 section 4).
func (s *session) cmdSTARTTLS(arg string) {
	switch {
	case arg != "":
		s.badArguments("STARTTLS")
		return
	case s.conn.TLS() != nil:
		s.badSequence("TLS is active already")
		return
	case s.cfg.TLS == nil:
		s.reply(502, enhanced(5, 5, 1), "STARTTLS not implemented")
		return
	case s.conn.Buffered() > 0:
		// What waits was sent in the clear, by the client or by somebody between
		// (CVE-2011-0411); it must not be taken for part of the secure session.
		s.hangUp("pipelined STARTTLS", 554, enhanced(5, 5, 0), "Nothing may follow STARTTLS before TLS")
		return
	}
	s.reply(220, enhanced(2, 0, 0), "Ready to start TLS")
	if err := s.conn.Flush(); err != nil {
		s.lost(err)
		return
	}
	if err := s.handshake(); err != nil {
		s.over = "handshake"
		return
	}
	s.forget()
}
