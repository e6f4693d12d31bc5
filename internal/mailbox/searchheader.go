package mailbox

import (
	"io"
	"strings"

	"posthouse/internal/message"
)

// maxSearchHeader is the most bytes of one header that a search reads.
const maxSearchHeader = 1 << 20

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
		return q.inHeader(c.header0(), true) || q.inBody(c)
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
	for f := range c.header0().Fields() {
		if f.Is(name) && contains(message.DecodeText(string(f.Value)), q.text) {
			return true
		}
	}
	return false
}

// inHeader looks for the text in any field, its name included.
func (q *query) inHeader(h message.Header, names bool) bool {
	for f := range h.Fields() {
		text := message.DecodeText(string(f.Value))
		if names {
			text = string(f.Name) + ": " + text
		}
		if contains(text, q.text) {
			return true
		}
	}
	return false
}

// header0 is the header of the message itself.
func (c *candidate) header0() message.Header {
	if c.header == nil {
		c.header = c.readHeader(&c.sum.Root)
	}
	return c.header
}

// readHeader reads the header of a part; nil after a fault.
func (c *candidate) readHeader(p *message.Part) message.Header {
	body := c.bytes()
	if body == nil {
		return nil
	}
	n := min(p.BodyStart-p.HeaderStart, maxSearchHeader)
	h := make([]byte, max(n, 0))
	if _, err := body.ReadAt(h, p.HeaderStart); err != nil && err != io.EOF {
		c.err = err
		return nil
	}
	return h
}

// contains compares under case folding; needle is folded already.
func contains(text, needle string) bool {
	return strings.Contains(message.FoldCase(text), needle)
}
