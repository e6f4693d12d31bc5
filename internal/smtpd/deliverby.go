package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// deliverByExtension is DELIVERBY (RFC 2852). No least time is announced: any
// time to come is kept.
func deliverByExtension() extension {
	return extension{
		keyword: "DELIVERBY",
		mail: map[string]mailParam{
			"BY": func(_ *session, env *envelope.Envelope, value string) *status.Error {
				by, err := smtp.ParseBy(value)
				if err != nil {
					return badParam("BY must be seconds;R for a time to come, or seconds;N, with T perhaps")
				}
				env.DeliverBy, env.ByTrace = env.Received.Add(by.In), by.Trace
				env.ByMode = envelope.ByNotify
				if by.Return {
					env.ByMode = envelope.ByReturn
				}
				return nil
			},
		},
	}
}
