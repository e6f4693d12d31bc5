package smtpd

import (
	"strconv"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// priorityExtension is MT-PRIORITY (RFC 6710). Our policy has no name (section
// 3).
func priorityExtension() extension {
	return extension{
		keyword: "MT-PRIORITY",
		mail: map[string]mailParam{
			"MT-PRIORITY": func(s *session, env *envelope.Envelope, value string) *status.Error {
				n, err := smtp.ParsePriority(value)
				if err != nil {
					return badParam("MT-PRIORITY must be -9 to 9")
				}
				if n > 0 && !s.mayHurry() {
					n = 0
				}
				env.Priority, env.PriorityBy = n, envelope.PriorityParameter
				return nil
			},
		},
	}
}

// mayHurry reports whether this client may raise its messages' priority:
// strangers must not, though they may lower it (RFC 6710 section 4.1).
func (s *session) mayHurry() bool { return s.who.Account != 0 || s.lmtp() }

// mailReply is the answer to a MAIL that was taken: it says so when the priority
// is not what was asked for (RFC 6710 section 4.1).
func mailReply(env *envelope.Envelope, params smtp.Params) smtp.Reply {
	priority := strconv.Itoa(env.Priority)
	if asked, ok := params.Get("MT-PRIORITY"); ok && asked != priority {
		return smtp.NewReply(250, enhanced(2, 3, 6), priority+" is the priority of this message")
	}
	return smtp.NewReply(250, enhanced(2, 1, 0), "Sender ok")
}
