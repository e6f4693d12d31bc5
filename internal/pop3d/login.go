package pop3d

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"posthouse/internal/sasl"
	"posthouse/internal/wire"
)

// mechanisms are those that this connection may use.
func (s *session) mechanisms() []string {
	if !s.mayLogin() {
		return nil
	}
	return s.srv.cfg.SASL.Mechanisms(s.conn.TLS())
}

func (s *session) mayLogin() bool {
	return s.conn.TLS() != nil || s.srv.cfg.AllowPlaintext && s.remote.IsLoopback()
}

// cmdCapa: RFC 2449 section 5.
func (s *session) cmdCapa(string) {
	s.ok("Capabilities follow")
	for _, c := range []string{"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "UTF8 USER", "LANG"} {
		s.line(c)
	}
	if mechs := s.mechanisms(); len(mechs) > 0 {
		s.line("USER")
		s.line("SASL " + strings.Join(mechs, " "))
	}
	if s.mayStartTLS() {
		s.line("STLS")
	}
	s.line("IMPLEMENTATION Posthouse")
	s.line(".")
}

func (s *session) mayStartTLS() bool {
	return s.srv.cfg.TLS != nil && s.conn.TLS() == nil && s.snap == nil
}

// cmdSTLS: RFC 2595 section 4.
func (s *session) cmdSTLS(string) {
	if !s.mayStartTLS() {
		s.mistake("TLS is not possible now")
		return
	}
	if s.conn.Buffered() > 0 {
		s.mistake("Nothing may follow STLS before the handshake")
		s.over = "pipelining"
		return
	}
	s.ok("Begin TLS")
	if s.conn.Flush() != nil || s.conn.StartTLS(s.srv.cfg.TLS) != nil {
		s.conn.Close()
		s.over = "handshake"
	}
	s.user, s.utf8 = "", false
}

// cmdUTF8: RFC 6856 section 2.1. Messages are given as they are kept from now on.
func (s *session) cmdUTF8(string) {
	s.utf8 = true
	s.ok("UTF-8 mode")
}

// cmdLang: RFC 6856 section 3.
func (s *session) cmdLang(arg string) {
	switch strings.ToLower(arg) {
	case "":
		s.ok("Languages follow")
		s.line("en English")
		s.line(".")
	case "en", "*", "i-default":
		s.ok("en English")
	default:
		s.err("No such language")
	}
}

// cmdUser: RFC 1939 section 7. It never tells whether the name exists.
func (s *session) cmdUser(arg string) {
	switch {
	case !s.mayLogin():
		s.err("Logins need TLS")
	case arg == "", !utf8.ValidString(arg): // RFC 6856 section 2.2
		s.mistake("USER needs a name, in UTF-8")
	default:
		s.user = arg
		s.ok("Now the password")
	}
}

// cmdPass: RFC 1939 section 7. The password may hold blanks.
func (s *session) cmdPass(password string) {
	user := s.user
	s.user = ""
	if user == "" {
		s.mistake("USER first")
		return
	}
	auth := s.authenticator()
	who, err := auth.Authenticate(s.srv.ctx, user, password)
	s.loggedIn(auth, "PASS", who, err)
}

// cmdAuth: RFC 5034 section 4.
func (s *session) cmdAuth(arg string) {
	mech, word, hasInitial := strings.Cut(arg, " ")
	if mech == "" {
		s.ok("Mechanisms follow")
		for _, m := range s.mechanisms() {
			s.line(m)
		}
		s.line(".")
		return
	}
	if !s.mayLogin() {
		s.err("Logins need TLS")
		return
	}
	var initial []byte
	if hasInitial {
		var err error
		if initial, err = sasl.DecodeInitial(word); err != nil {
			s.mistake("The initial response is not base64")
			return
		}
	}
	auth := s.authenticator()
	ex, err := s.srv.cfg.SASL.Begin(s.srv.ctx, mech, auth, s.conn.TLS())
	if err != nil {
		s.err("No such mechanism here")
		return
	}
	var gone error // why there is no more input
	who, err := sasl.Run(ex, initial, func(challenge []byte) ([]byte, error) {
		s.line("+ " + sasl.Encode(challenge))
		if gone = s.conn.Flush(); gone != nil {
			return nil, gone
		}
		line, err := s.readLine()
		switch {
		case errors.Is(err, wire.ErrLineTooLong):
			return nil, fmt.Errorf("%w: too long", sasl.ErrProtocol)
		case err != nil:
			gone = err
			return nil, err
		}
		return sasl.Decode(line)
	})
	if gone != nil {
		s.lost(gone)
		return
	}
	s.loggedIn(auth, strings.ToUpper(mech), who, err)
}

func (s *session) authenticator() *sasl.Named {
	return &sasl.Named{Authenticator: s.srv.backend.Authenticator(s.remote, s.door)}
}

// loggedIn ends a login. Response codes: RFC 2449 section 8, RFC 3206. [AUTH] speaks
// of the user's name and password alone: a client asks for new ones then.
func (s *session) loggedIn(auth *sasl.Named, mech string, who sasl.Identity, err error) {
	if err != nil {
		auth.LogFailure(s.log(), mech, err)
	}
	switch {
	case err == nil:
		s.log().Debug("logged in", "login", who.Login, "mechanism", mech)
		s.open(who)
		return
	case errors.Is(err, sasl.ErrCancelled):
		s.err("Cancelled")
		return
	case errors.Is(err, sasl.ErrBase64), errors.Is(err, sasl.ErrProtocol):
		s.mistake("Malformed response")
		return
	case errors.Is(err, sasl.ErrThrottled):
		s.err("[SYS/TEMP] Too many failed logins, try again later")
	case errors.Is(err, sasl.ErrCredentials), errors.Is(err, sasl.ErrAuthzid):
		s.err("[AUTH] Wrong user name or password")
	default:
		s.err("[SYS/TEMP] Cannot check the login now")
	}
	if s.attempts++; s.attempts >= s.srv.limits.Load().AuthAttempts {
		s.over = "logins"
	}
}

// open enters the transaction state: the lock, and INBOX as it is now.
func (s *session) open(who sasl.Identity) {
	s.login = who.Login
	account, err := s.srv.backend.Account(s.srv.ctx, who.Account)
	if err != nil {
		s.failed("open the account", err)
		return
	}
	box, err := account.Open(s.srv.ctx, "INBOX")
	if err != nil {
		account.Release()
		s.failed("open INBOX", err)
		return
	}
	unlock, ok := box.Lock()
	if !ok {
		box.Close()
		account.Release()
		s.log().Info("login refused", "login", who.Login, "reason", "mailbox in use")
		s.err("[IN-USE] Another session has the mailbox")
		return
	}
	s.account, s.box, s.unlock, s.snap = account, box, unlock, box.Snapshot()
	s.deleted = make(map[int]bool)
	s.pass.Known()
	s.conn.ReadTimeout = autologout
	s.ok("%d messages", s.snap.Len())
}

func (s *session) failed(what string, err error) {
	s.log().Error("cannot "+what, "login", s.login, "err", err)
	s.err("[SYS/TEMP] Try again later")
}
