package smtpd

import (
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// lookupExtension lists VRFY and EXPN, to whom they answer (RFC 5321 section
// 3.5.2).
func lookupExtension(keyword string) extension {
	return extension{keyword: keyword, offered: func(s *session) (string, bool) { return "", s.mayLookUp() }}
}

// mayLookUp reports whether this client may ask who lives here: strangers are
// told nothing (RFC 5321 section 7.3).
func (s *session) mayLookUp() bool { return s.who.Account != 0 && s.cfg.Desk != nil }

// cmdVRFY tells our own people whether an address is good (RFC 5321 section
// 4.1.1.6).
func (s *session) cmdVRFY(arg string) {
	l, err := smtp.ParseLookup(arg)
	switch {
	case err != nil:
		s.badArguments("VRFY address [SMTPUTF8]")
		return
	case !s.mayLookUp():
		s.cannotVerify(enhanced(2, 0, 0))
		return
	}
	v, err := s.cfg.Desk.Verify(s.srv.ctx, s.who, l.Address)
	switch {
	case err != nil:
		s.refuse(err, "VRFY")
	case v.Address.IsZero():
		s.cannotVerify(enhanced(2, 0, 0))
	case !v.Address.IsASCII() && !l.UTF8:
		s.cannotVerify(enhanced(2, 6, 8)) // RFC 6531 section 3.7.4.2
	case v.Elsewhere:
		s.sendUTF8(smtp.NewReply(251, enhanced(2, 1, 5), "User not local; will forward to "+v.Address.Path()))
	default:
		s.sendUTF8(smtp.NewReply(250, enhanced(2, 1, 5), v.Address.Path()))
	}
}

// cannotVerify promises no more than RCPT would.
func (s *session) cannotVerify(e status.Enhanced) {
	s.reply(252, e, "Cannot verify the address, but will take mail and try to deliver it")
}
