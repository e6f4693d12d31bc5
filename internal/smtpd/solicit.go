package smtpd

import (
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// solicitExtension is NO-SOLICITING (RFC 3865), where classes of solicitations are
// not wanted: they are named to other servers. Our own people may send what they
// like; they are told by the keyword alone that they may say what it is (section
// 2.2). The handler compares.
func solicitExtension() extension {
	return extension{
		keyword: "NO-SOLICITING",
		offered: func(s *session) (string, bool) {
			if s.cfg.Mode == Submission {
				return "", len(s.cfg.NoSoliciting) > 0
			}
			return strings.Join(s.cfg.NoSoliciting, ","), len(s.cfg.NoSoliciting) > 0
		},
		mail: map[string]mailParam{
			"SOLICIT": func(_ *session, env *envelope.Envelope, value string) *status.Error {
				if _, err := smtp.ParseSolicit(value); err != nil {
					return badParam("SOLICIT must be classes such as net.example:ADV, with commas between")
				}
				env.Solicit = value
				return nil
			},
		},
	}
}
