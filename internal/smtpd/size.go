package smtpd

import (
	"strconv"
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// sizeExtension is SIZE (RFC 1870).
func sizeExtension() extension {
	return extension{
		keyword: "SIZE",
		offered: func(s *session) (string, bool) {
			return strconv.FormatInt(s.cfg.Limits.MessageSize, 10), true
		},
		mail: map[string]mailParam{"SIZE": (*session).sizeParam},
	}
}

// sizeParam is RFC 1870 section 6.
func (s *session) sizeParam(env *envelope.Envelope, value string) *status.Error {
	// 20 digits at most (RFC 1870 section 3); what does not fit is too large too.
	digits := value != "" && len(value) <= 20 && strings.Trim(value, "0123456789") == ""
	if !digits {
		return badParam("SIZE must be a number")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil || size > s.cfg.Limits.MessageSize {
		return s.tooLarge()
	}
	env.Size = size
	return nil
}

// tooLarge is RFC 1870 section 6.
func (s *session) tooLarge() *status.Error {
	return status.New(552, 3, 4, "Message is larger than "+strconv.FormatInt(s.cfg.Limits.MessageSize, 10)+" octets")
}
