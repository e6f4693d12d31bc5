package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// cmdRCPT adds a recipient (RFC 5321 section 4.1.1.3).
func (s *session) cmdRCPT(arg string) {
	switch {
	case s.env == nil:
		s.badSequence("MAIL first")
		return
	case s.in != nil:
		s.badSequence("Content has begun")
		return
	}
	m, err := smtp.ParseRcpt(arg)
	if err == nil && m.Path.IsZero() {
		err = smtp.ErrAddress
	}
	if err != nil {
		s.badMailing(err, "RCPT TO:<address>", 3)
		return
	}
	r := envelope.Rcpt{To: m.Path}
	refusal := s.rcptParams(&r, m.Params)
	switch {
	case refusal != nil:
		s.send(smtp.ErrorReply(refusal))
		return
	case len(s.env.Rcpts) >= s.cfg.Limits.Recipients:
		s.tooManyRecipients()
		return
	}
	if err := s.srv.handler.Rcpt(s.srv.ctx, s.env, r); err != nil {
		if !s.harvests(status.Of(err)) {
			s.refuse(err, "RCPT")
		}
		return
	}
	s.env.Rcpts = append(s.env.Rcpts, r)
	s.reply(250, enhanced(2, 1, 5), "Recipient ok")
}

// overshoot is how many recipients too many are no error of the client's.
const overshoot = 1000

// tooManyRecipients is RFC 5321 section 4.5.3.1.10: the client sends the message
// to the others later. A list may be long, but not without end.
func (s *session) tooManyRecipients() {
	if s.conduct.extra++; s.conduct.extra > overshoot {
		s.conduct.faults++
	}
	s.reply(452, enhanced(4, 5, 3), "Too many recipients")
}
