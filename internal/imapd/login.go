package imapd

import (
	"errors"
	"strings"
	"time"

	"posthouse/internal/imap"
	"posthouse/internal/sasl"
)

// cmdLogin: RFC 9051 section 6.2.3.
func (s *session) cmdLogin(p *imap.Parser) (string, error) {
	login := p.AString()
	p.SP()
	password := p.AString()
	if err := p.End(); err != nil {
		return "", err
	}
	if !s.mayLogin() {
		return "", refuse("[PRIVACYREQUIRED] LOGIN needs TLS")
	}
	auth := s.authenticator()
	who, err := auth.Authenticate(s.ctx, login, password)
	return s.loggedIn(auth, "LOGIN", who, err)
}

// cmdAuthenticate: RFC 9051 section 6.2.2, with an initial response (RFC 4959).
func (s *session) cmdAuthenticate(p *imap.Parser) (string, error) {
	mech := strings.ToUpper(p.Atom())
	var initial []byte
	if p.Err() == nil && !p.AtEnd() {
		p.SP()
		word, err := sasl.DecodeInitial(p.Rest())
		if err != nil {
			return "", imap.SyntaxError("The initial response is not base64")
		}
		initial = word
	}
	if err := p.End(); err != nil {
		return "", err
	}
	if !s.mayLogin() {
		return "", refuse("[PRIVACYREQUIRED] AUTHENTICATE needs TLS")
	}
	auth := s.authenticator()
	ex, err := s.srv.cfg.SASL.Begin(s.ctx, mech, auth, s.tlsState())
	if err != nil {
		return "", refuse("[CANNOT] Unsupported authentication mechanism")
	}
	var broken error // the connection's, not the exchange's
	who, err := sasl.Run(ex, initial, func(challenge []byte) ([]byte, error) {
		s.goAhead(sasl.Encode(challenge))
		line, err := s.conn.ReadLine(sasl.MaxLine)
		if err != nil {
			broken = err
			return nil, err
		}
		return sasl.Decode(line)
	})
	if broken != nil {
		s.readFailed(broken)
		return "", errAnswered
	}
	return s.loggedIn(auth, mech, who, err)
}

func (s *session) authenticator() *sasl.Named {
	return &sasl.Named{Authenticator: s.srv.backend.Authenticator(s.remote, s.door)}
}

// loggedIn ends a login: it opens the account, or says why not. Codes are those
// of RFC 5530.
func (s *session) loggedIn(auth *sasl.Named, mech string, who sasl.Identity, err error) (string, error) {
	if err != nil {
		auth.LogFailure(s.log(), mech, err)
	}
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return "", imap.SyntaxError("Authentication was cancelled")
	case errors.Is(err, sasl.ErrBase64), errors.Is(err, sasl.ErrProtocol):
		return "", imap.SyntaxError("Malformed authentication response")
	case errors.Is(err, sasl.ErrThrottled):
		return "", s.loginRefused("[UNAVAILABLE] Too many failed logins, try again later")
	case errors.Is(err, sasl.ErrAuthzid):
		return "", s.loginRefused("[AUTHORIZATIONFAILED] You may only be yourself")
	case errors.Is(err, sasl.ErrCredentials):
		return "", s.loginRefused("[AUTHENTICATIONFAILED] Wrong user name or password")
	case err != nil:
		return "", err
	}
	if !s.srv.admitAccount(who.Account, s.remote) {
		s.log().Info("login refused", "login", who.Login, "reason", "sessions of the account")
		return "", refuse("[LIMIT] Too many sessions of this account")
	}
	acct, err := s.srv.backend.Account(s.ctx, who.Account)
	if err != nil {
		s.srv.leaveAccount(who.Account)
		return "", err
	}
	s.pass.Known()
	s.account, s.acct, s.login = who.Account, acct, who.Login
	s.log().Debug("logged in", "login", s.login, "mechanism", mech)
	s.state = authenticated
	s.bad = 0
	s.loginBy = time.Time{}
	s.conn.ReadTimeout, s.conn.ReadBy = idleTimeout, s.loginBy
	return "[CAPABILITY " + s.srv.caps.text(s) + "] Logged in", nil
}

// loginRefused counts a failed login, so that guessing ends.
func (s *session) loginRefused(text string) error {
	s.tagged("NO " + text)
	if s.attempts++; s.attempts >= s.srv.limits.Load().AuthAttempts {
		s.bye("logins", "Too many failed logins")
	}
	return errAnswered
}

// cmdStartTLS: RFC 9051 section 6.2.1.
func (s *session) cmdStartTLS(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	if s.tls() {
		return "", imap.SyntaxError("TLS is active already")
	}
	if s.srv.cfg.TLS == nil {
		return "", imap.SyntaxError("STARTTLS is not offered")
	}
	if s.conn.Buffered() > 0 { // CVE-2011-0411: nothing may stand between
		s.bye("pipelining", "Input after STARTTLS")
		return "", errAnswered
	}
	s.tagged("OK Begin TLS negotiation now")
	s.flush()
	if s.err != nil {
		return "", errAnswered
	}
	s.conn.ReadTimeout = 30 * time.Second
	if err := s.conn.StartTLS(s.srv.cfg.TLS); err != nil {
		s.end = "handshake"
		s.fail(err)
		return "", errAnswered
	}
	s.conn.ReadTimeout = loginTimeout
	return "", errAnswered
}
