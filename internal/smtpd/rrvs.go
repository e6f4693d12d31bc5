package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// rrvsExtension is RRVS (RFC 7293): the handler compares.
func rrvsExtension() extension {
	return extension{
		keyword: "RRVS",
		rcpt: map[string]rcptParam{
			"RRVS": func(_ *session, r *envelope.Rcpt, value string) *status.Error {
				v, err := smtp.ParseRRVS(value)
				if err != nil {
					return badParam("RRVS must be a date and time such as 2014-04-03T23:01:00Z, with ;C or ;R perhaps")
				}
				r.RRVS, r.RRVSContinue = v.Since, v.Continue
				return nil
			},
		},
	}
}
