package smtpd

import (
	"errors"
	"strconv"
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
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
	now := s.srv.cfg.Clock.Now()
	env := &envelope.Envelope{
		ID: id.New(now), Tenant: envelope.MainTenant, Stream: envelope.Person, From: m.Path, Received: now,
	}
	size, refusal := s.mailParams(env, m.Params)
	if refusal != nil {
		s.send(smtp.ErrorReply(refusal))
		return
	}
	env.Origin = s.origin(env.UTF8)
	if err := s.srv.handler.Mail(s.srv.ctx, env, size); err != nil {
		s.refuse(err, "MAIL")
		return
	}
	s.env = env
	s.reply(250, enhanced(2, 1, 0), "Sender ok")
}

// mailAllowed judges whether a transaction may begin, and answers when not.
func (s *session) mailAllowed() bool {
	limits := s.srv.cfg.Limits
	switch {
	case s.helo == "":
		s.badSequence("Say hello first")
	case s.env != nil:
		s.badSequence("A transaction is under way")
	case s.srv.cfg.RequireAuth && s.who.Account == 0:
		// RFC 4954 section 6, RFC 3207 section 4.
		if _, needsTLS := s.mayAuth(); needsTLS {
			s.reply(530, enhanced(5, 7, 0), "Must issue a STARTTLS command first")
		} else {
			s.reply(530, enhanced(5, 7, 0), "Authentication required")
		}
	case !s.trusted && limits.Messages > 0 && s.sum.Messages >= limits.Messages:
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

// mailParams takes the parameters of MAIL into env.
func (s *session) mailParams(env *envelope.Envelope, params smtp.Params) (size int64, refusal *status.Error) {
	for _, p := range params {
		switch {
		case !s.extended:
			// Without EHLO there are no parameters (RFC 5321 section 4.1.1.11).
			refusal = unknownParam(p)
		case p.Key == "SIZE": // RFC 1870 section 3
			size, refusal = s.sizeParam(p.Value)
		case p.Key == "BODY": // RFC 6152 section 2
			env.Body = envelope.BodyType(strings.ToUpper(p.Value))
			if env.Body != envelope.Body7Bit && env.Body != envelope.Body8Bit {
				refusal = status.New(501, 5, 4, "BODY must be 7BIT or 8BITMIME")
			}
		case p.Key == "SMTPUTF8" && p.Value == "": // RFC 6531 section 3.4
			env.UTF8 = true
		case p.Key == "AUTH" && s.srv.cfg.OfferAuth: // RFC 4954 section 5
			// Whom the client vouches for is of no use to us: it has logged in itself.
			if _, err := smtp.DecodeXtext(p.Value); err != nil || p.Value == "" {
				refusal = status.New(501, 5, 4, "AUTH must be an address in xtext")
			}
		default:
			refusal = unknownParam(p)
		}
		if refusal != nil {
			return 0, refusal
		}
	}
	if !env.From.IsASCII() && !env.UTF8 {
		return 0, needsUTF8()
	}
	return size, nil
}

func (s *session) sizeParam(value string) (int64, *status.Error) {
	// 20 digits at most (RFC 1870 section 3); what does not fit is too large too.
	digits := value != "" && len(value) <= 20 && strings.Trim(value, "0123456789") == ""
	if !digits {
		return 0, status.New(501, 5, 4, "SIZE must be a number")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil || size > s.srv.cfg.Limits.MessageSize {
		return 0, s.tooLarge()
	}
	return size, nil
}

// tooLarge is RFC 1870 section 6.
func (s *session) tooLarge() *status.Error {
	return status.New(552, 3, 4, "Message is larger than "+strconv.FormatInt(s.srv.cfg.Limits.MessageSize, 10)+" octets")
}

func unknownParam(p smtp.Param) *status.Error {
	return status.New(555, 5, 4, "Parameter "+p.Key+" not recognized")
}

// needsUTF8 is RFC 6531 section 3.5.
func needsUTF8() *status.Error {
	return status.New(553, 6, 7, "Address needs SMTPUTF8")
}
