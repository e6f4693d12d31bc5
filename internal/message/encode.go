package message

import (
	"encoding/binary"
)

// version is the first byte of an encoded Summary. A change of the layout below
// takes the next number; DecodeSummary goes on reading the old ones. Version 1
// said neither what it left out nor which fields were empty.
const version = 2

// MaxEncoded bounds the encoding of a Summary: it is one value of the store
// beside other small things.
const MaxEncoded = 60 << 10

// Flags of the encoding.
const (
	flagBare = 1 << iota
	flagNUL
	flagEight
	flagUTF8
	flagBounded
)

const keptShift = 5 // Kept is in the two bits from here on

// AppendBinary appends the encoding of s to b, of as much as MaxEncoded has room
// for: DecodeSummary tells in Kept what that is.
func (s *Summary) AppendBinary(b []byte) []byte {
	from := len(b)
	if b = s.appendTo(b); len(b)-from >= MaxEncoded {
		b = s.withoutStructure().appendTo(b[:from])
	}
	if len(b)-from >= MaxEncoded {
		b = s.traits().appendTo(b[:from])
	}
	return b
}

// appendTo appends the encoding of all of s: version, the number of
// addresses, parameters, parts and other strings in all lists (so that a reader
// takes memory once), then the fields in order. Numbers are varints, texts are a
// length and bytes or a number in the table of common words.
func (s *Summary) appendTo(b []byte) []byte {
	var c counts
	c.strings = len(s.References)
	c.envelope(&s.Envelope)
	c.part(&s.Root)
	b = append(b, version)
	for _, n := range []int{c.addresses, c.params, c.parts, c.strings} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	flags := byte(s.Kept) << keptShift
	for i, set := range []bool{s.BareLines, s.NUL, s.EightBit, s.UTF8Header, s.Bounded} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(s.Size))
	b = binary.AppendUvarint(b, uint64(s.Received))
	b = appendStrings(b, s.References)
	b = appendEnvelope(b, &s.Envelope)
	return appendPart(b, &s.Root, 0)
}

// counts are the lengths of all lists of a Summary together.
type counts struct{ addresses, params, parts, strings int }

func (c *counts) envelope(e *Envelope) {
	for _, list := range e.lists() {
		c.addresses += len(*list)
	}
}

func (c *counts) part(p *Part) {
	c.params += len(p.Params) + len(p.DispParams)
	c.strings += len(p.Language)
	c.parts += len(p.Parts)
	for i := range p.Parts {
		c.part(&p.Parts[i])
	}
	if p.Message != nil {
		c.envelope(&p.Message.Envelope)
		c.part(&p.Message.Root)
	}
}

// lists are the address lists in the order of ENVELOPE.
func (e *Envelope) lists() [6]*[]Address {
	return [6]*[]Address{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc}
}

// texts are the texts in the order of ENVELOPE.
func (e *Envelope) texts() [4]*string {
	return [4]*string{&e.Date, &e.Subject, &e.InReplyTo, &e.MessageID}
}

// texts are the fields of a part that are one text each.
func (p *Part) texts() [8]*string {
	return [8]*string{&p.Type, &p.Subtype, &p.ID, &p.Description, &p.Encoding, &p.MD5, &p.Disposition, &p.Location}
}

// Bits of an envelope.
const (
	envSubject = 1 << iota
	envTime
	envDate
	envInReplyTo
	envMessageID
)

// present are the marks of the fields that may be empty, with their bits.
func (e *Envelope) present() [4]struct {
	bit byte
	has *bool
} {
	return [4]struct {
		bit byte
		has *bool
	}{{envDate, &e.HasDate}, {envSubject, &e.HasSubject}, {envInReplyTo, &e.HasInReplyTo}, {envMessageID, &e.HasMessageID}}
}

func appendEnvelope(b []byte, e *Envelope) []byte {
	bits := byte(0)
	for _, p := range e.present() {
		if *p.has {
			bits |= p.bit
		}
	}
	if !e.Time.IsZero() {
		bits |= envTime
	}
	b = append(b, bits)
	for _, s := range e.texts() {
		b = appendString(b, *s)
	}
	if !e.Time.IsZero() {
		_, offset := e.Time.Zone()
		b = binary.AppendVarint(b, e.Time.Unix())
		b = binary.AppendVarint(b, int64(offset))
	}
	for _, list := range e.lists() {
		b = binary.AppendUvarint(b, uint64(len(*list)))
		for i := range *list {
			a := &(*list)[i]
			b = append(b, byte(a.Group))
			b = appendString(b, a.Name)
			b = appendString(b, a.Mailbox)
			b = appendString(b, a.Host)
		}
	}
	return b
}

// appendPart writes offsets as distances, the first from base.
func appendPart(b []byte, p *Part, base int64) []byte {
	for _, s := range p.texts() {
		b = appendString(b, *s)
	}
	b = appendParams(b, p.Params)
	b = appendParams(b, p.DispParams)
	b = appendStrings(b, p.Language)
	b = binary.AppendUvarint(b, uint64(p.HeaderStart-base))
	b = binary.AppendUvarint(b, uint64(p.BodyStart-p.HeaderStart))
	b = binary.AppendUvarint(b, uint64(p.BodyEnd-p.BodyStart))
	b = binary.AppendUvarint(b, uint64(p.Lines))
	base = p.BodyStart
	b = binary.AppendUvarint(b, uint64(len(p.Parts)))
	for i := range p.Parts {
		b = appendPart(b, &p.Parts[i], base)
		base = p.Parts[i].BodyEnd
	}
	if p.Message == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	b = appendEnvelope(b, &p.Message.Envelope)
	return appendPart(b, &p.Message.Root, p.BodyStart)
}

func appendParams(b []byte, params []Param) []byte {
	b = binary.AppendUvarint(b, uint64(len(params)))
	for i := range params {
		b = appendString(b, params[i].Name)
		b = appendString(b, params[i].Value)
	}
	return b
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// appendString writes a word of the table as twice its number plus one, any
// other text as twice its length and its bytes.
func appendString(b []byte, s string) []byte {
	if len(s) > 0 && len(s) <= longestWord {
		if n, ok := wordNumber(s); ok {
			return binary.AppendUvarint(b, uint64(n)<<1|1)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s))<<1)
	return append(b, s...)
}

const longestWord = 25

// words is part of the format: new ones go to the end.
var words = [...]string{
	"text", "plain", "html", "TEXT", "PLAIN", "HTML", "multipart", "mixed", "alternative", "related", "signed", "report",
	"MIXED", "application", "octet-stream", "pdf", "image", "jpeg", "png", "gif", "message", "rfc822", "delivery-status",
	"7bit", "8bit", "7BIT", "8BIT", "base64", "quoted-printable", "binary", "BASE64",
	"charset", "utf-8", "UTF-8", "us-ascii", "US-ASCII", "iso-8859-1", "ISO-8859-1", "windows-1252", "format", "flowed",
	"boundary", "name", "filename", "attachment", "inline", "size", "protocol", "micalg", "type", "en",
	"pgp-signature", "pkcs7-signature", "calendar", "method", "REQUEST", "delsp", "yes", "report-type", "MESSAGE", "RFC822",
}

// wordsOfLength lists the numbers of the words of each length.
var wordsOfLength = func() (t [longestWord + 1][]uint8) {
	for i, w := range words {
		t[len(w)] = append(t[len(w)], uint8(i))
	}
	return t
}()

// wordNumber finds s in the table.
func wordNumber(s string) (int, bool) {
	for _, i := range wordsOfLength[len(s)] {
		if words[i] == s {
			return int(i), true
		}
	}
	return 0, false
}
