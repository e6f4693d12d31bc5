package intake

import (
	"strconv"

	"posthouse/internal/envelope"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
)

// priorityField carries a priority through servers that do not know MT-PRIORITY
// (RFC 6758 section 4).
const priorityField = "MT-Priority"

// settlePriority reads the priority from the header when MAIL had none (RFC 6758
// section 3.1). In a message that leaves the house there is one field at most, and
// it says what the envelope does: a stranger's wish must not go on as ours
// (sections 3.3 and 7). What has to be added comes back beside the header.
func (t *Transfer) settlePriority(header message.Header) (message.Header, string) {
	fields := header.All(priorityField)
	if len(fields) == 0 {
		return header, ""
	}
	n, valid := parsePriority(fields)
	if t.env.PriorityBy == "" {
		if !valid || n > 0 && !t.mayHurry() {
			t.env.Priority = 0
		} else {
			t.env.Priority = n
		}
	}
	t.env.PriorityBy = envelope.PriorityField
	if len(t.route.remotes) == 0 || valid && n == t.env.Priority {
		return header, ""
	}
	header = header.Without(func(f message.Field) bool { return f.Is(priorityField) })
	return header, priorityField + ": " + strconv.Itoa(t.env.Priority) + "\r\n"
}

// parsePriority reads the one field that there may be.
func parsePriority(fields []string) (int, bool) {
	if len(fields) != 1 {
		return 0, false
	}
	n, err := smtp.ParsePriority(message.WithoutComments(fields[0]))
	return n, err == nil
}

// mayHurry reports whether the client may raise the priority of its messages: our
// own people, and servers of this site (RFC 6758 section 7).
func (t *Transfer) mayHurry() bool {
	return t.env.Origin.Account != 0 || t.env.Origin.Door == "lmtp"
}
