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

// binaryExtension is BINARYMIME (RFC 3030 section 3): BODY has one more value,
// and the content comes with BDAT.
func binaryExtension() extension { return extension{keyword: "BINARYMIME"} }

// bodyParam is RFC 6152 section 2 and RFC 3030 section 3.
func (s *session) bodyParam(env *envelope.Envelope, value string) *status.Error {
	switch body := envelope.BodyType(strings.ToUpper(value)); body {
	case envelope.Body7Bit, envelope.Body8Bit, envelope.BodyBinary:
		env.Body = body
		return nil
	}
	return badParam("BODY must be 7BIT, 8BITMIME or BINARYMIME")
}
