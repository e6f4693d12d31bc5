package smtpd

import (
	"slices"
	"strconv"
	"strings"

	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
)

// cmdEHLO begins a session with extensions (RFC 5321 section 4.1.1.1).
func (s *session) cmdEHLO(arg string) {
	if s.lmtp() {
		s.reply(500, enhanced(5, 5, 1), "This is LMTP, use LHLO")
		return
	}
	s.extendedHello("EHLO", arg)
}

func (s *session) extendedHello(verb, arg string) {
	if !s.hello(verb, arg) {
		return
	}
	s.extended = true
	s.send(smtp.Reply{Code: 250, Lines: append([]string{s.srv.cfg.Hostname}, s.extensions()...)})
}

// extensions is what is offered here and now. Nothing is, that is not complete.
func (s *session) extensions() []string {
	ext := []string{
		"SIZE " + strconv.FormatInt(s.srv.cfg.Limits.MessageSize, 10), // RFC 1870
		"PIPELINING",          // RFC 2920
		"8BITMIME",            // RFC 6152
		"SMTPUTF8",            // RFC 6531
		"CHUNKING",            // RFC 3030
		"ENHANCEDSTATUSCODES", // RFC 2034
	}
	if s.srv.cfg.TLS != nil && s.conn.TLS() == nil {
		ext = append(ext, "STARTTLS") // RFC 3207
	}
	// -PLUS works but is not announced: clients on GNU SASL, neomutt among them,
	// pick it whenever it is, cannot bind, and then give up altogether.
	unbound := func(m string) bool { return m == sasl.ScramSHA256Plus }
	if mechanisms := slices.DeleteFunc(s.mechanisms(), unbound); len(mechanisms) > 0 {
		ext = append(ext, "AUTH "+strings.Join(mechanisms, " ")) // RFC 4954
	}
	return ext
}

// mechanisms is what a client may log in with here and now.
func (s *session) mechanisms() []string {
	ok, _ := s.mayAuth()
	if !ok {
		return nil
	}
	state := s.conn.TLS()
	return sasl.Mechanisms(state != nil, true, sasl.Bindable(state))
}
