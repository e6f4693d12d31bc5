package message

import (
	"slices"
	"strings"
)

const maxReferences = 100

// readEntity takes what a Summary keeps from an entity's header. Of a field that
// may stand only once the first counts; To, Cc and Bcc are joined (RFC 5322
// section 4.5.3).
func (p *Parser) readEntity(f *frame, h Header) {
	root := len(p.frames) == 1
	r := entityReader{part: &f.part, env: &f.env}
	for field := range h.Fields() {
		var buf [32]byte
		if len(field.Name) > len(buf) {
			continue
		}
		name := buf[:len(field.Name)]
		for i, c := range field.Name {
			name[i] = lower(c)
		}
		if strings.HasPrefix(string(name), "content-") {
			r.mime(name, field.Value)
		} else if root || f.message {
			r.envelope(name, field.Value)
		}
	}
	r.finish(f.digest)
	p.sum.Bounded = p.sum.Bounded || r.bounded
	if root {
		p.sum.References = references(r.references, f.env.InReplyTo)
	}
}

// field begins a field of the entity on top: those are kept that readEntity reads.
func (p *Parser) field(name []byte) {
	p.keep = false
	var buf [32]byte
	if len(name) > len(buf) {
		return
	}
	for i, c := range name {
		buf[i] = lower(c)
	}
	f, root := p.top(), len(p.frames) == 1
	switch string(buf[:len(name)]) {
	case "content-type", "content-transfer-encoding", "content-id", "content-description", "content-disposition",
		"content-md5", "content-language", "content-location":
		p.keep = true
	case "date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id":
		p.keep = root || f.message
	case "references":
		p.keep = root
	case "received":
		if root {
			p.sum.Received++
		}
	}
}

// entityReader collects the fields of one header.
type entityReader struct {
	part       *Part
	env        *Envelope
	seen       seen
	references string
	bounded    bool // some addresses are left out
}

// seen marks the fields that stood already.
type seen uint32

const (
	seenDate seen = 1 << iota
	seenSubject
	seenFrom
	seenSender
	seenReplyTo
	seenInReplyTo
	seenMessageID
	seenReferences
	seenType
	seenEncoding
	seenID
	seenDescription
	seenDisposition
	seenMD5
	seenLanguage
	seenLocation
)

// first reports whether a field stands there for the first time.
func (r *entityReader) first(s seen) bool {
	was := r.seen&s != 0
	r.seen |= s
	return !was
}

func (r *entityReader) set(dst *string, s seen, value []byte) {
	if r.first(s) {
		*dst = unfoldBytes(value)
	}
}

func (r *entityReader) addresses(dst *[]Address, s seen, value []byte) {
	if r.first(s) {
		r.join(dst, value)
	}
}

// join adds the addresses of one more field.
func (r *entityReader) join(dst *[]Address, value []byte) {
	if len(*dst) >= maxAddresses {
		r.bounded = true
		return
	}
	more := addressList(unfoldBytes(value))
	r.bounded = r.bounded || len(more) >= maxAddresses
	if *dst == nil {
		*dst = more
	} else {
		*dst = append(*dst, more...)
	}
}

func (r *entityReader) envelope(name, value []byte) {
	switch string(name) {
	case "date":
		r.set(&r.env.Date, seenDate, value)
		r.env.HasDate = true
	case "subject":
		r.set(&r.env.Subject, seenSubject, value)
		r.env.HasSubject = true
	case "from":
		r.addresses(&r.env.From, seenFrom, value)
	case "sender":
		r.addresses(&r.env.Sender, seenSender, value)
	case "reply-to":
		r.addresses(&r.env.ReplyTo, seenReplyTo, value)
	case "to":
		r.join(&r.env.To, value)
	case "cc":
		r.join(&r.env.Cc, value)
	case "bcc":
		r.join(&r.env.Bcc, value)
	case "in-reply-to":
		r.set(&r.env.InReplyTo, seenInReplyTo, value)
		r.env.HasInReplyTo = true
	case "message-id":
		r.set(&r.env.MessageID, seenMessageID, value)
		r.env.HasMessageID = true
	case "references":
		r.set(&r.references, seenReferences, value)
	}
}

func (r *entityReader) mime(name, value []byte) {
	switch string(name) {
	case "content-type":
		if r.first(seenType) {
			r.contentType(unfoldBytes(value))
		}
	case "content-transfer-encoding":
		var v string
		if r.set(&v, seenEncoding, value); v != "" {
			r.part.Encoding = firstToken(v)
		}
	case "content-id":
		r.set(&r.part.ID, seenID, value)
	case "content-description":
		r.set(&r.part.Description, seenDescription, value)
	case "content-disposition":
		if r.first(seenDisposition) {
			r.part.Disposition, r.part.DispParams = parseParams(unfoldBytes(value))
		}
	case "content-md5":
		r.set(&r.part.MD5, seenMD5, value)
	case "content-language":
		if r.first(seenLanguage) {
			r.part.Language = languages(unfoldBytes(value))
		}
	case "content-location":
		r.set(&r.part.Location, seenLocation, value)
	}
}

// contentType reads type, subtype and parameters. A type that is not of the
// form type/subtype counts as text/plain (RFC 2045 section 5.2), but
// "multipart" alone as multipart/mixed.
func (r *entityReader) contentType(value string) {
	full, params := parseParams(value)
	major, minor, ok := strings.Cut(full, "/")
	major, minor = strings.TrimSpace(major), strings.TrimSpace(minor)
	r.part.Params = params
	switch {
	case ok && isToken(major) && isToken(minor):
		r.part.Type, r.part.Subtype = major, minor
	case strings.EqualFold(major, "multipart"):
		r.part.Type, r.part.Subtype = major, "MIXED"
	}
}

// finish fills in defaults (RFC 2045 section 5.2 and 6.1; RFC 2046 section 5.1.5
// for the children of a digest).
func (r *entityReader) finish(digest bool) {
	p := r.part
	if p.Type == "" {
		p.Type, p.Subtype = "TEXT", "PLAIN"
		if digest && r.seen&seenType == 0 {
			p.Type, p.Subtype = "MESSAGE", "RFC822"
		}
	}
	if p.Encoding == "" {
		p.Encoding = "7BIT"
	}
	if t, ok := ParseDate(r.env.Date); ok {
		r.env.Time = t
	}
}

// firstToken cuts a value at a comment, a parameter or white space.
func firstToken(v string) string {
	v = skipCFWS(v)
	if i := strings.IndexAny(v, " \t;("); i >= 0 {
		v = v[:i]
	}
	return strings.Trim(v, `"`)
}

func languages(v string) []string {
	var tags []string
	for tag := range strings.SplitSeq(v, ",") {
		if tag = firstToken(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// references joins the message-ids of References and In-Reply-To, oldest first,
// and keeps the latest.
func references(refs, inReplyTo string) []string {
	ids := MessageIDs(refs)
	for _, id := range MessageIDs(inReplyTo) {
		if len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return len(id) > maxID })
	return ids[max(0, len(ids)-maxReferences):]
}

// MessageIDs returns the message-ids of a References, In-Reply-To or Message-ID
// field, in order, without brackets and without white space in them. Words
// outside brackets count only when nothing stands in brackets and they have an
// "@" (RFC 5322 section 4.5.4).
func MessageIDs(v string) []string {
	var ids []string
	for rest := v; ; {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			break
		}
		id, next, ok := strings.Cut(after, ">")
		if !ok {
			break
		}
		if i := strings.LastIndexByte(id, '<'); i >= 0 {
			id = id[i+1:]
		}
		if strings.ContainsAny(id, " \t") {
			id = strings.Join(strings.Fields(id), "")
		}
		if id != "" {
			ids = append(ids, id)
		}
		rest = next
	}
	if ids == nil && v != "" {
		for _, word := range strings.Fields(v) {
			if word = strings.Trim(word, "<>,;"); strings.Contains(word, "@") {
				ids = append(ids, word)
			}
		}
	}
	return ids
}
