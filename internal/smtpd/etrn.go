package smtpd

// cmdETRN is not announced, and nobody's queue is started by strangers (RFC 1985
// section 5.1).
func (s *session) cmdETRN(arg string) {
	switch {
	case s.helo == "":
		s.badSequence("Say hello first")
	case s.env != nil:
		s.badSequence("A transaction is under way") // RFC 1985 section 5
	case arg == "":
		s.badArguments("ETRN domain")
	default:
		s.reply(459, enhanced(4, 7, 1), "Node not allowed: the queue is run by its own schedule")
	}
}
