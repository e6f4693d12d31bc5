package smtpd

import "posthouse/internal/smtp"

// maxExpansion is how many addresses EXPN lists.
const maxExpansion = 1000

// cmdEXPN tells our own people where an alias leads, an address a line (RFC 5321
// section 4.1.1.7).
func (s *session) cmdEXPN(arg string) {
	l, err := smtp.ParseLookup(arg)
	switch {
	case !s.mayLookUp() && (!s.cfg.OfferAuth || s.cfg.Desk == nil):
		s.reply(502, enhanced(5, 5, 1), "EXPN not implemented")
		return
	case err != nil:
		s.badArguments("EXPN address [SMTPUTF8]")
		return
	case !s.mayLookUp():
		s.reply(550, enhanced(5, 7, 1), "Access denied: log in to see lists")
		return
	}
	list, err := s.cfg.Desk.Expand(s.srv.ctx, s.who, l.Address)
	if err != nil {
		s.refuse(err, "EXPN")
		return
	}
	if len(list) > maxExpansion {
		s.reply(550, enhanced(5, 2, 4), "The list is too long to be shown") // RFC 3463 section 3.3
		return
	}
	r := smtp.Reply{Code: 250, Enhanced: enhanced(2, 1, 5)}
	for _, a := range list {
		if !a.IsASCII() && !l.UTF8 {
			s.reply(550, enhanced(5, 6, 8), "The list has addresses in UTF-8: ask with SMTPUTF8") // RFC 6531 section 3.7.4.2
			return
		}
		r.Lines = append(r.Lines, a.Path())
	}
	s.sendUTF8(r)
}
