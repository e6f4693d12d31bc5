package imap

import (
	"slices"
	"strconv"
	"strings"

	"posthouse/internal/message"
)

// AppendEnvelope writes the ENVELOPE of RFC 9051 section 7.5.2.
func AppendEnvelope(b []byte, e *message.Envelope, utf8OK bool) []byte {
	b = append(b, '(')
	b = appendField(b, e.Date, e.HasDate, utf8OK)
	b = append(b, ' ')
	b = appendField(b, e.Subject, e.HasSubject, utf8OK)
	// An absent or empty Sender or Reply-To is the From field's.
	sender, reply := e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = e.From
	}
	if len(reply) == 0 {
		reply = e.From
	}
	for _, list := range [...][]message.Address{e.From, sender, reply, e.To, e.Cc, e.Bcc} {
		b = append(b, ' ')
		b = appendAddresses(b, list, utf8OK)
	}
	b = append(b, ' ')
	b = appendField(b, e.InReplyTo, e.HasInReplyTo, utf8OK)
	b = append(b, ' ')
	b = appendField(b, e.MessageID, e.HasMessageID, utf8OK)
	return append(b, ')')
}

// appendField writes NIL for an absent field, and "" for an empty one.
func appendField(b []byte, text string, present, utf8OK bool) []byte {
	if present || text != "" {
		return AppendString(b, text, utf8OK)
	}
	return append(b, "NIL"...)
}

func appendAddresses(b []byte, list []message.Address, utf8OK bool) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i := range list {
		a := &list[i]
		switch a.Group {
		case message.GroupStart: // host NIL, mailbox the group's name
			b = append(b, "(NIL NIL "...)
			b = AppendString(b, a.Mailbox, utf8OK)
			b = append(b, " NIL)"...)
		case message.GroupEnd:
			b = append(b, "(NIL NIL NIL NIL)"...)
		default:
			b = append(b, '(')
			b = AppendNString(b, a.Name, utf8OK)
			b = append(b, " NIL "...)
			// NIL here would look like the start or end of a group.
			b = AppendString(b, a.Mailbox, utf8OK)
			b = append(b, ' ')
			b = AppendString(b, a.Host, utf8OK)
			b = append(b, ')')
		}
	}
	return append(b, ')')
}

// StructureOptions say how AppendBodyStructure writes.
type StructureOptions struct {
	Extended bool // BODYSTRUCTURE; without it the form of BODY
	UTF8     bool // quoted strings may hold UTF-8
	Global   bool // message/global is written like message/rfc822 (RFC 9051 section 9, media-message)
}

// AppendBodyStructure writes a part as RFC 9051 section 7.5.2 has it.
func AppendBodyStructure(b []byte, p *message.Part, o StructureOptions) []byte {
	if strings.EqualFold(p.Type, "MULTIPART") {
		return appendMultipart(b, p, o)
	}
	b = append(b, '(')
	b = AppendString(b, orElse(p.Type, "TEXT"), o.UTF8)
	b = append(b, ' ')
	b = AppendString(b, orElse(p.Subtype, "PLAIN"), o.UTF8)
	b = append(b, ' ')
	b = appendParams(b, withCharset(p), o.UTF8)
	b = append(b, ' ')
	b = AppendNString(b, p.ID, o.UTF8)
	b = append(b, ' ')
	b = AppendNString(b, p.Description, o.UTF8)
	b = append(b, ' ')
	b = AppendString(b, orElse(p.Encoding, "7BIT"), o.UTF8)
	b = append(b, ' ')
	b = strconv.AppendInt(b, max(p.BodyEnd-p.BodyStart, 0), 10)
	switch {
	case strings.EqualFold(p.Type, "TEXT") || p.Type == "":
		b = append(b, ' ')
		b = strconv.AppendInt(b, max(p.Lines, 0), 10)
	case isMessage(p, o):
		b = append(b, ' ')
		b = appendEmbedded(b, p.Message, o)
		b = append(b, ' ')
		b = strconv.AppendInt(b, max(p.Lines, 0), 10)
	}
	if o.Extended {
		b = append(b, ' ')
		b = AppendNString(b, p.MD5, o.UTF8)
		b = appendExtension(b, p, o.UTF8)
	}
	return append(b, ')')
}

// withCharset are a part's parameters, for text with the charset that is meant
// where none is named (RFC 2046 section 4.1.2): clients and other servers expect
// it spelled out.
func withCharset(p *message.Part) []message.Param {
	named := func(x message.Param) bool { return strings.EqualFold(strings.TrimSuffix(x.Name, "*"), "CHARSET") }
	if p.Type != "" && !strings.EqualFold(p.Type, "TEXT") || slices.ContainsFunc(p.Params, named) {
		return p.Params
	}
	return append([]message.Param{{Name: "CHARSET", Value: "US-ASCII"}}, p.Params...)
}

func isMessage(p *message.Part, o StructureOptions) bool {
	return strings.EqualFold(p.Type, "MESSAGE") &&
		(strings.EqualFold(p.Subtype, "RFC822") || o.Global && strings.EqualFold(p.Subtype, "GLOBAL"))
}

// appendEmbedded writes envelope and body of the message inside; the grammar
// wants them also where the parser saw no message.
func appendEmbedded(b []byte, m *message.Embedded, o StructureOptions) []byte {
	if m == nil {
		m = &message.Embedded{}
	}
	b = AppendEnvelope(b, &m.Envelope, o.UTF8)
	b = append(b, ' ')
	return AppendBodyStructure(b, &m.Root, o)
}

func appendMultipart(b []byte, p *message.Part, o StructureOptions) []byte {
	b = append(b, '(')
	if len(p.Parts) == 0 { // the grammar wants one at least
		b = AppendBodyStructure(b, &message.Part{}, o)
	}
	for i := range p.Parts {
		b = AppendBodyStructure(b, &p.Parts[i], o)
	}
	b = append(b, ' ')
	b = AppendString(b, orElse(p.Subtype, "MIXED"), o.UTF8)
	if o.Extended {
		b = append(b, ' ')
		b = appendParams(b, p.Params, o.UTF8)
		b = appendExtension(b, p, o.UTF8)
	}
	return append(b, ')')
}

// appendExtension writes disposition, language and location.
func appendExtension(b []byte, p *message.Part, utf8OK bool) []byte {
	b = append(b, ' ')
	if p.Disposition == "" {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		b = AppendString(b, p.Disposition, utf8OK)
		b = append(b, ' ')
		b = appendParams(b, p.DispParams, utf8OK)
		b = append(b, ')')
	}
	b = append(b, ' ')
	switch len(p.Language) {
	case 0:
		b = append(b, "NIL"...)
	case 1:
		b = AppendString(b, p.Language[0], utf8OK)
	default:
		for i, l := range p.Language {
			b = append(b, "( "[min(i, 1)])
			b = AppendString(b, l, utf8OK)
		}
		b = append(b, ')')
	}
	b = append(b, ' ')
	return AppendNString(b, p.Location, utf8OK)
}

func appendParams(b []byte, params []message.Param, utf8OK bool) []byte {
	if len(params) == 0 {
		return append(b, "NIL"...)
	}
	for i := range params {
		b = append(b, "( "[min(i, 1)])
		b = AppendString(b, params[i].Name, utf8OK)
		b = append(b, ' ')
		b = AppendString(b, params[i].Value, utf8OK)
	}
	return append(b, ')')
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
