package mailbox

import (
	"bytes"
	"io"
	"strings"

	"posthouse/internal/message"
)

// headerWindow is how much of a header a search looks at together, so also the most
// of one field.
const headerWindow = 1 << 20

// evalContent answers from the summary where that is as good as the message
// itself, and else from the message.
func (q *query) evalContent(c *candidate) bool {
	env := &c.sum.Envelope
	switch q.kind {
	case MatchSentDate:
		// a message without a usable Date field was sent on no day
		return !env.Time.IsZero() && q.between(dayOf(env.Time)) == yes
	case MatchFrom:
		return q.address(c, "From", env.From)
	case MatchTo:
		return q.address(c, "To", env.To)
	case MatchCc:
		return q.address(c, "Cc", env.Cc)
	case MatchBcc:
		return q.address(c, "Bcc", env.Bcc)
	case MatchSubject:
		if !c.envelope() {
			return q.inField(c, "Subject")
		}
		return env.HasSubject && contains(message.DecodeText(env.Subject), q.text)
	case MatchHeader:
		// clients look for a message they sent; there is one such field
		if strings.EqualFold(q.field, "Message-ID") && env.MessageID != "" && c.envelope() {
			return contains(message.DecodeText(env.MessageID), q.text)
		}
		return q.inField(c, q.field)
	case MatchBody:
		return q.inBody(c)
	case MatchText:
		return q.inHeader(c, &c.sum.Root) || q.inBody(c)
	}
	return false
}

// envelope reports whether the summary holds the message's envelope in full.
func (c *candidate) envelope() bool { return c.sum.Kept <= message.KeptEnvelope && !c.sum.Bounded }

// address looks for the text in an address field. Texts that may span syntax
// between names and addresses are looked for in the field itself.
func (q *query) address(c *candidate, field string, list []message.Address) bool {
	if !q.plain || !c.envelope() {
		return q.inField(c, field)
	}
	for _, a := range list {
		if contains(message.DecodeText(a.Name), q.text) || contains(a.Mailbox+"@"+a.Host, q.text) {
			return true
		}
	}
	return false
}

// inField looks for the text in every field of that name; "" asks for any
// (RFC 9051 section 6.4.4).
func (q *query) inField(c *candidate, name string) bool {
	return c.anyField(&c.sum.Root, func(f message.Field) bool {
		return f.Is(name) && contains(message.DecodeText(string(f.Value)), q.text)
	})
}

// inHeader looks for the text in any field of a part's header, its name included.
func (q *query) inHeader(c *candidate, p *message.Part) bool {
	return c.anyField(p, func(f message.Field) bool {
		return contains(string(f.Name)+": "+message.DecodeText(string(f.Value)), q.text)
	})
}

// anyField reports whether a field of a part's header is as asked. It reads a window
// at a time, each from the start of a field on, unless that is longer than a window:
// then its rest is passed over. False after a fault.
func (c *candidate) anyField(p *message.Part, asked func(message.Field) bool) bool {
	mid := false // at is inside a line
	for at := p.HeaderStart; at < p.BodyStart; {
		h := c.readHeader(at, p.BodyStart)
		if h == nil {
			return false
		}
		from, to := 0, len(h)
		if mid {
			from = lineEnd(h)
		}
		last := at+int64(to) == p.BodyStart
		for f := range h[from:].Fields() {
			if f.End += from; f.End == len(h) && from+f.Start > 0 && !last {
				to = from + f.Start // it may go on
				break
			}
			if asked(f) {
				return true
			}
		}
		at += int64(to)
		mid = h[to-1] != '\n'
	}
	return false
}

// lineEnd is where the first line of b ends, its LF included.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// readHeader reads a window of a header that ends at to; nil after a fault. The
// latest is kept: most headers are one, and several keys ask for it.
func (c *candidate) readHeader(at, to int64) message.Header {
	n := int(min(to-at, headerWindow))
	if c.header != nil && c.headerAt == at && len(c.header) == n {
		return c.header
	}
	body := c.bytes()
	if body == nil {
		return nil
	}
	if c.err = c.ctx.Err(); c.err != nil {
		return nil
	}
	if cap(c.header) < n {
		c.header = make([]byte, n)
	}
	c.header, c.headerAt = c.header[:n], at
	if _, err := body.ReadAt(c.header, at); err != nil && err != io.EOF {
		c.header, c.err = nil, err
	}
	return c.header
}

// contains compares under case folding; needle is folded already.
func contains(text, needle string) bool {
	return strings.Contains(message.FoldCase(text), needle)
}
