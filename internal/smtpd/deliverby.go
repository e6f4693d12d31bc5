package smtpd

import (
	"strconv"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// deliverByExtension is DELIVERBY (RFC 2852). The least time that a client may
// insist on is announced, if there is one: else any time to come is kept.
func deliverByExtension() extension {
	return extension{
		keyword: "DELIVERBY",
		offered: func(s *session) (string, bool) {
			least := s.cfg.Limits.DeliverBy
			if least < time.Second {
				return "", true
			}
			return strconv.FormatInt(int64(least/time.Second), 10), true
		},
		mail: map[string]mailParam{
			"BY": func(s *session, env *envelope.Envelope, value string) *status.Error {
				by, err := smtp.ParseBy(value)
				if err != nil {
					return badParam("BY must be seconds;R for a time to come, or seconds;N, with T perhaps")
				}
				if least := s.cfg.Limits.DeliverBy.Truncate(time.Second); by.Return && by.In < least {
					// RFC 2852 sections 3 and 4.
					return status.New(555, 5, 4, "Less than "+least.String()+" is too short to deliver or return a message")
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
