package smtpd

import (
	"strconv"
	"strings"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// futureReleaseExtension is FUTURERELEASE (RFC 4865): for our own people only.
func futureReleaseExtension() extension {
	return extension{
		keyword: "FUTURERELEASE",
		offered: func(s *session) (string, bool) {
			longest := s.cfg.Limits.FutureRelease
			if longest < time.Second || s.cfg.Mode != Submission {
				return "", false
			}
			seconds := strconv.FormatInt(int64(longest/time.Second), 10)
			return seconds + " " + s.cfg.Clock.Now().Add(longest).UTC().Format(time.RFC3339), true
		},
		mail: map[string]mailParam{
			"HOLDFOR": func(s *session, env *envelope.Envelope, value string) *status.Error {
				d, err := smtp.ParseHoldFor(value)
				if err != nil {
					return badParam("HOLDFOR must be a number of seconds")
				}
				return s.hold(env, env.Received.Add(d), "for;"+value)
			},
			"HOLDUNTIL": func(s *session, env *envelope.Envelope, value string) *status.Error {
				t, err := smtp.ParseDateTime(value)
				if err != nil {
					return badParam("HOLDUNTIL must be a date and time such as 2026-03-01T12:30:00Z")
				}
				return s.hold(env, t, "until;"+strings.ToUpper(value))
			},
		},
	}
}

// hold keeps a message until a time (RFC 4865 section 4.2). One that has passed
// by the time the client has asked is now.
func (s *session) hold(env *envelope.Envelope, until time.Time, request string) *status.Error {
	switch {
	case !env.HoldUntil.IsZero():
		return badParam("HOLDFOR and HOLDUNTIL exclude each other")
	case until.After(env.Received.Add(s.cfg.Limits.FutureRelease)):
		return badParam("Cannot hold a message for longer than " + s.cfg.Limits.FutureRelease.String())
	}
	env.HoldUntil, env.HoldRequest = until, request
	return nil
}

// contradiction refuses a message that is late before it may leave (RFC 4865
// section 5.2.2).
func contradiction(env *envelope.Envelope) *status.Error {
	held := env.HoldUntil.After(env.Received)
	if held && env.ByMode != "" && env.HoldUntil.After(env.DeliverBy) {
		return badParam("The message is to be delivered before it is to be released")
	}
	return nil
}
