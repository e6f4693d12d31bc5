package smtpd

import (
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// authExtension is AUTH (RFC 4954).
func authExtension() extension {
	return extension{
		keyword: "AUTH",
		offered: func(s *session) (string, bool) {
			mechanisms := s.mechanisms()
			return strings.Join(mechanisms, " "), len(mechanisms) > 0
		},
		mail: map[string]mailParam{"AUTH": func(_ *session, _ *envelope.Envelope, value string) *status.Error {
			// Whom the client vouches for is of no use to us: it has logged in itself
			// (RFC 4954 section 5).
			text, err := smtp.DecodeXtext(value)
			var a smtp.Address
			if err == nil && text != "<>" {
				a, err = smtp.ParseAddress(text)
			}
			if err != nil || text != "<>" && a.Domain == "" {
				return badParam("AUTH must be <> or an address, in xtext")
			}
			return nil
		}},
	}
}

// mechanisms is what a client may log in with here and now.
func (s *session) mechanisms() []string {
	ok, _ := s.mayAuth()
	if !ok {
		return nil
	}
	return s.cfg.SASL.Mechanisms(s.conn.TLS())
}
