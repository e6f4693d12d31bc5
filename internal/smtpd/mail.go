package smtpd

import (
	"errors"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// cmdMAIL begins a mail transaction (RFC 5321 section 4.1.1.2).
func (s *session) cmdMAIL(arg string) {
	if !s.mailAllowed() {
		return
	}
	m, err := smtp.ParseMail(arg)
	if err == nil && m.Path.Domain == "" && !m.Path.IsZero() {
		err = smtp.ErrAddress // "postmaster" alone is for RCPT
	}
	if err != nil {
		s.badMailing(err, "MAIL FROM:<address>", 7)
		return
	}
	s.sum.Transactions++
	now := s.cfg.Clock.Now()
	env := &envelope.Envelope{
		ID: id.New(now), Tenant: envelope.MainTenant, Stream: envelope.Person, From: m.Path, Received: now,
	}
	if refusal := s.mailParams(env, m.Params); refusal != nil {
		s.send(smtp.ErrorReply(refusal))
		return
	}
	env.Origin = s.origin(env.UTF8)
	if err := s.srv.handler.Mail(s.srv.ctx, env, env.Size); err != nil {
		s.refuse(err, "MAIL", "msg_id", string(env.ID))
		return
	}
	s.env = env
	s.send(mailReply(env, m.Params))
}

// mailAllowed judges whether a transaction may begin, and answers when not.
func (s *session) mailAllowed() bool {
	limits := s.cfg.Limits
	switch {
	case s.helo == "":
		s.badSequence("Say hello first")
	case s.env != nil:
		s.badSequence("A transaction is under way")
	case s.cfg.RequireAuth && s.who.Account == 0:
		// RFC 4954 section 6, RFC 3207 section 4.
		if _, needsTLS := s.mayAuth(); needsTLS {
			s.reply(530, enhanced(5, 7, 0), "Must issue a STARTTLS command first")
		} else {
			s.reply(530, enhanced(5, 7, 0), "Authentication required")
		}
	case !s.trusted && limits.Messages > 0 && s.sum.Messages-s.others >= limits.Messages:
		s.hangUp("messages", 421, enhanced(4, 7, 0), "Too many messages in one session, connect again")
	default:
		return true
	}
	return false
}

// badMailing answers a MAIL or RCPT that cannot be parsed; detail is that of the
// X.1 code for a bad address.
func (s *session) badMailing(err error, syntax string, detail uint16) {
	switch {
	case errors.Is(err, smtp.ErrParameter):
		s.badArguments(syntax + " [parameters]")
	case errors.Is(err, smtp.ErrTooLong):
		s.reply(501, enhanced(5, 1, detail), "Address too long") // RFC 5321 section 4.5.3.1.9
	case errors.Is(err, smtp.ErrAddress):
		s.reply(501, enhanced(5, 1, detail), "Bad address syntax")
	default:
		s.badArguments(syntax)
	}
}
