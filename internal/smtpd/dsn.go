package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// dsnExtension is DSN (RFC 3461): what the sender wants to be told. A well-formed
// wish is never a reason to refuse (section 5.1).
func dsnExtension() extension {
	return extension{
		keyword: "DSN",
		mail: map[string]mailParam{
			"RET": func(_ *session, env *envelope.Envelope, value string) *status.Error {
				var err error
				if env.Ret, err = smtp.ParseRet(value); err != nil {
					return badParam("RET must be FULL or HDRS")
				}
				return nil
			},
			"ENVID": func(_ *session, env *envelope.Envelope, value string) *status.Error {
				var err error
				if env.EnvID, err = smtp.ParseEnvID(value); err != nil {
					return badParam("ENVID must be printable, in xtext, and not longer than 100 characters")
				}
				return nil
			},
		},
		rcpt: map[string]rcptParam{
			"NOTIFY": func(_ *session, r *envelope.Rcpt, value string) *status.Error {
				var err error
				if r.Notify, err = smtp.ParseNotify(value); err != nil {
					return badParam("NOTIFY must be NEVER alone, or a list of SUCCESS, FAILURE and DELAY")
				}
				return nil
			},
			"ORCPT": func(_ *session, r *envelope.Rcpt, value string) *status.Error {
				var err error
				if r.ORcpt, err = smtp.ParseORcpt(value); err != nil {
					return badParam("ORCPT must be a type, a semicolon and an address in xtext")
				}
				return nil
			},
		},
	}
}
