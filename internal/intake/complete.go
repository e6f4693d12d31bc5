package intake

import (
	"time"

	"posthouse/internal/message"
)

// pass hands content on. The header of a message that one of our people submits
// is held back until it is known which fields it lacks.
func (t *Transfer) pass(p []byte) error {
	if t.holding {
		t.held = append(t.held, p...)
		if !t.headDone {
			return nil
		}
		return t.release()
	}
	_, err := t.incoming.Write(p)
	return err
}

// release hands on what was held back, behind the fields that are missing.
func (t *Transfer) release() error {
	if !t.holding {
		return nil
	}
	held := t.held
	t.holding, t.held = false, nil
	if _, err := t.incoming.Write([]byte(t.missing())); err != nil {
		return err
	}
	_, err := t.incoming.Write(held)
	return err
}

// missing is the fields that a submission server adds: Date and Message-ID (RFC
// 6409 sections 8.1 and 8.2). A header too long to be seen whole is left alone.
func (t *Transfer) missing() string {
	if len(t.head) >= maxHead {
		return ""
	}
	var fields string
	header := message.Header(t.head)
	if _, ok := header.Get("Date"); !ok {
		fields += "Date: " + t.env.Received.Format(time.RFC1123Z) + "\r\n"
	}
	if _, ok := header.Get("Message-ID"); !ok {
		fields += "Message-ID: <" + string(t.env.ID) + "@" + t.in.opt.Hostname + ">\r\n"
	}
	return fields
}
