package smtpd

import (
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// eightBitExtension is 8BITMIME (RFC 6152).
func eightBitExtension() extension {
	return extension{keyword: "8BITMIME", mail: map[string]mailParam{"BODY": (*session).bodyParam}}
}

// bodyParam is RFC 6152 section 2.
func (s *session) bodyParam(env *envelope.Envelope, value string) *status.Error {
	switch body := envelope.BodyType(strings.ToUpper(value)); body {
	case envelope.Body7Bit, envelope.Body8Bit:
		env.Body = body
		return nil
	}
	return badParam("BODY must be 7BIT or 8BITMIME")
}
