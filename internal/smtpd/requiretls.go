package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// requireTLSExtension is REQUIRETLS (RFC 8689), which belongs to sessions in TLS
// only (section 2).
func requireTLSExtension() extension {
	return extension{
		keyword:  "REQUIRETLS",
		offered:  func(s *session) (string, bool) { return "", s.conn.TLS() != nil },
		withheld: status.New(530, 7, 10, "REQUIRETLS needs TLS in this session first"),
		mail: map[string]mailParam{
			"REQUIRETLS": flag(func(_ *session, env *envelope.Envelope) *status.Error {
				env.RequireTLS = true
				return nil
			}),
		},
	}
}
