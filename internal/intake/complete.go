package intake

import (
	"time"

	"posthouse/internal/message"
)

// missing is the fields that a submission server adds for our own people: Date and
// Message-ID (RFC 6409 sections 8.1 and 8.2).
func (t *Transfer) missing(header message.Header) string {
	if t.env.Origin.Account == 0 {
		return ""
	}
	var fields string
	if _, ok := header.Get("Date"); !ok {
		fields += "Date: " + t.env.Received.Format(time.RFC1123Z) + "\r\n"
	}
	if _, ok := header.Get("Message-ID"); !ok {
		fields += "Message-ID: <" + string(t.env.ID) + "@" + t.in.opt.Hostname + ">\r\n"
	}
	return fields
}
