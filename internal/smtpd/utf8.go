package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// utf8Extension is SMTPUTF8 (RFC 6531).
func utf8Extension() extension {
	return extension{
		keyword: "SMTPUTF8",
		mail: map[string]mailParam{
			"SMTPUTF8": flag(func(_ *session, env *envelope.Envelope) *status.Error { // section 3.4
				env.UTF8 = true
				return nil
			}),
		},
	}
}

// needsUTF8 is RFC 6531 section 3.5.
func needsUTF8() *status.Error {
	return status.New(553, 6, 7, "Address needs SMTPUTF8")
}
