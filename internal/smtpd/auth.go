package smtpd

import (
	"errors"
	"fmt"
	"strings"

	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/wire"
)

// errGone means that the session ended within an exchange.
var errGone = errors.New("smtpd: session over")

// cmdAUTH logs in (RFC 4954 section 4).
func (s *session) cmdAUTH(arg string) {
	if !s.authAllowed() {
		return
	}
	fields := strings.Fields(arg)
	if len(fields) < 1 || len(fields) > 2 {
		s.badArguments("AUTH mechanism [initial-response]")
		return
	}
	mech := strings.ToUpper(fields[0])
	auth := &sasl.Named{Authenticator: s.srv.handler.Authenticator(s.remote.Addr(), s.cfg.Door)}
	exchange, err := s.cfg.SASL.Begin(s.srv.ctx, mech, auth, s.conn.TLS())
	if err != nil { // nobody has tried to log in yet
		s.loginFailed(err)
		return
	}
	who, err := s.login(exchange, fields[1:])
	if s.over != "" {
		return
	}
	s.cfg.Observer.Login(s.cfg.Door, mech, err)
	if err != nil {
		auth.LogFailure(s.log, mech, err)
		s.loginFailed(err)
		return
	}
	s.who = who
	s.log.Debug("logged in", "login", who.Login, "mechanism", mech)
	s.reply(235, enhanced(2, 7, 0), "Authentication succeeded")
}

func (s *session) authAllowed() bool {
	ok, needsTLS := s.mayAuth()
	switch {
	case !s.cfg.OfferAuth:
		s.reply(502, enhanced(5, 5, 1), "AUTH not implemented")
	case !s.extended:
		s.badSequence("EHLO first")
	case s.who.Account != 0:
		s.badSequence("Already authenticated")
	case s.env != nil:
		s.badSequence("A transaction is under way")
	case !ok && needsTLS:
		// RFC 4954 section 4; its 538 is for history only.
		s.reply(504, enhanced(5, 5, 4), "Encryption required, use STARTTLS first")
	case !ok:
		s.reply(504, enhanced(5, 5, 4), "Encryption required")
	default:
		return true
	}
	return false
}

// login carries out the exchange.
func (s *session) login(exchange sasl.Server, initial []string) (sasl.Identity, error) {
	var first []byte
	if len(initial) > 0 {
		var err error
		if first, err = sasl.DecodeInitial(initial[0]); err != nil {
			return sasl.Identity{}, err
		}
	}
	return sasl.Run(exchange, first, s.challenge)
}

func (s *session) challenge(challenge []byte) ([]byte, error) {
	s.reply(334, status.Enhanced{}, sasl.Encode(challenge))
	line, err := s.readLine(sasl.MaxLine)
	switch {
	case errors.Is(err, wire.ErrLineTooLong):
		refusal := status.New(500, 5, 6, "Authentication line too long") // RFC 4954 section 4
		return nil, fmt.Errorf("%w: %w", sasl.ErrProtocol, refusal)
	case err != nil:
		s.lost(err)
		return nil, errGone
	}
	return sasl.Decode(line)
}

func (s *session) loginFailed(err error) {
	refusal := loginRefusal(err)
	if refusal.Code == 535 || refusal.Code == 501 {
		s.authFailures++
	}
	if s.authFailures >= s.cfg.Limits.AuthAttempts && !s.trusted {
		s.sum.Errors++
		s.hangUp("logins", 421, enhanced(4, 7, 0), "Too many failed logins")
		return
	}
	s.send(smtp.ErrorReply(refusal))
}

// loginRefusal is the answer to a failed exchange (RFC 4954 sections 4 and 6).
func loginRefusal(err error) *status.Error {
	var refusal *status.Error
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, sasl.ErrCancelled):
		return status.New(501, 7, 0, "Authentication cancelled")
	case errors.Is(err, sasl.ErrBase64):
		return status.New(501, 5, 2, "Cannot decode the response")
	case errors.Is(err, sasl.ErrProtocol):
		return status.New(501, 5, 2, "Malformed response")
	case errors.Is(err, sasl.ErrCredentials), errors.Is(err, sasl.ErrAuthzid):
		return status.New(535, 7, 8, "Authentication credentials invalid")
	case errors.Is(err, sasl.ErrThrottled):
		return status.New(454, 7, 0, "Too many failed logins, try again later")
	case errors.Is(err, sasl.ErrMechanism):
		return status.New(504, 5, 4, "Mechanism not supported")
	}
	return status.Wrap(err, 454, 7, 0, "Temporary authentication failure")
}
