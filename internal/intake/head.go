package intake

import (
	"fmt"
	"strings"

	"posthouse/internal/message"
)

// The header of a message is held back until it is whole: what it says decides
// what is put before it, and some of its fields are for us and go no further.

// writeHead takes content until the header is whole.
func (t *Transfer) writeHead(p []byte) error {
	from := max(0, len(t.head)-3)
	t.head = append(t.head, p...)
	end := headEnd(t.head, from)
	switch {
	case end >= 0:
		return t.begin(end)
	case len(t.head) >= maxHead:
		return t.begin(len(t.head))
	}
	return nil
}

// endHead is for a message that has ended in its header.
func (t *Transfer) endHead() error {
	if t.headDone {
		return nil
	}
	return t.begin(len(t.head))
}

// begin writes the message as far as it has come, of which the header is the first
// end bytes. A first line that begins with white space would fold the field before it
// (RFC 5322 section 2.2.3), which is one of ours: it begins the body.
func (t *Transfer) begin(end int) error {
	var gap string
	if len(t.head) > 0 && (t.head[0] == ' ' || t.head[0] == '\t') {
		end, gap = 0, "\r\n"
	}
	header, rest := message.Header(t.head[:end]), t.head[end:]
	t.head, t.headDone = t.head[:end:end], true
	var added string
	if end < maxHead {
		t.tunnelOwners(header)
		t.settleSolicit(header)
		header, added = t.settlePriority(header.Without(isOwnerField))
		added += t.missing(header)
	}
	for _, part := range [][]byte{t.trace(), []byte(added), header, []byte(gap), rest} {
		if _, err := t.incoming.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// trace is what stands before the message: Return-Path and Received (RFC 5321
// section 4.4). Return-Path is for final delivery only; the courier skips it.
func (t *Transfer) trace() []byte {
	var b strings.Builder
	goesOn := len(t.route.remotes) > 0
	if len(t.route.locals) > 0 {
		from := t.env.From
		if goesOn {
			from = from.WithALabels()
		}
		fmt.Fprintf(&b, "Return-Path: %s\r\n", from.Path())
		t.skip = b.Len()
	}
	b.WriteString(receivedField(t.env, t.in.opt.Hostname, goesOn))
	return []byte(b.String())
}
