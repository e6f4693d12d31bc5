package message

import (
	"strings"
	"unicode/utf8"
)

// room is what a Summary may hold: bytes of one text, addresses of one list,
// parameters of one field, parts in all.
type room struct{ text, addresses, params, parts int }

// rooms are tried in order until the encoding fits in MaxEncoded. The last fits
// always: 17 entities with two kilobytes of text each.
var rooms = [...]room{
	{4096, 1000, 50, 3 * MaxParts},
	{1024, 500, 20, 3 * MaxParts},
	{512, 100, 10, 3 * MaxParts},
	{128, 30, 5, 3 * MaxParts},
	{64, 10, 4, 400},
	{40, 4, 3, 100},
	{32, 2, 2, 16},
}

// shrink cuts the Summary down so that its encoding keeps MaxEncoded. What it
// cuts depends on the message alone.
func (p *Parser) shrink() {
	s := p.sum
	// Texts come from the headers; converting charsets makes at most three bytes
	// of one. Numbers of a part and an envelope take less than 128 bytes.
	if 3*p.taken+128*p.parts < MaxEncoded {
		return
	}
	var buf []byte
	for _, r := range rooms {
		r.summary(s)
		if buf = s.AppendBinary(buf[:0]); len(buf) < MaxEncoded {
			return
		}
	}
}

func (r room) summary(s *Summary) {
	var refs []string
	for _, id := range s.References[max(0, len(s.References)-max(r.addresses, 10)):] {
		if len(id) <= max(r.text, 100) { // half a message-id is none
			refs = append(refs, id)
		}
	}
	s.References = refs
	r.envelope(&s.Envelope)
	left := r.parts
	r.part(&s.Root, &left)
}

func (r room) envelope(e *Envelope) {
	for _, s := range e.texts() {
		*s = cut(*s, r.text)
	}
	for _, list := range e.lists() {
		*list = r.list(*list)
	}
}

// list cuts an address list; a group that was cut is closed.
func (r room) list(list []Address) []Address {
	if len(list) > r.addresses {
		list = list[:r.addresses]
		open := false
		for _, a := range list[:len(list)-1] {
			open = a.Group == GroupStart || open && a.Group != GroupEnd
		}
		last := &list[len(list)-1]
		switch {
		case open:
			*last = Address{Group: GroupEnd}
		case last.Group == GroupStart:
			list = list[:len(list)-1]
		}
	}
	for i := range list {
		a := &list[i]
		a.Name, a.Mailbox, a.Host = cut(a.Name, r.text), cut(a.Mailbox, r.text), cut(a.Host, r.text)
	}
	return list
}

func (r room) part(p *Part, left *int) {
	for _, s := range p.texts() {
		*s = cut(*s, r.text)
	}
	p.Params, p.DispParams = r.paramList(p.Params), r.paramList(p.DispParams)
	p.Language = p.Language[:min(len(p.Language), r.params)]
	for i := range p.Language {
		p.Language[i] = cut(p.Language[i], r.text)
	}
	if len(p.Parts) > 0 {
		if *left <= 0 {
			// Its parts go out of sight; the structure stays whole.
			p.Parts = []Part{p.opaque()}
			return
		}
		kept := p.Parts[:0:0]
		for i := range p.Parts {
			if i > 0 && *left <= 0 {
				break
			}
			*left--
			r.part(&p.Parts[i], left)
			kept = append(kept, p.Parts[i])
		}
		p.Parts = kept
	}
	if p.Message != nil {
		if *left <= 0 {
			p.Message = nil
			return
		}
		*left--
		r.envelope(&p.Message.Envelope)
		r.part(&p.Message.Root, left)
	}
}

func (r room) paramList(params []Param) []Param {
	params = params[:min(len(params), r.params)]
	for i := range params {
		params[i].Name, params[i].Value = cut(params[i].Name, r.text), cut(params[i].Value, r.text)
	}
	return params
}

// cut shortens a text to n bytes, not inside a character nor inside an encoded
// word (RFC 2047).
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for i := 1; i <= 3 && i <= len(s); i++ {
		if utf8.RuneStart(s[len(s)-i]) {
			if !utf8.FullRuneInString(s[len(s)-i:]) {
				s = s[:len(s)-i]
			}
			break
		}
	}
	if i := strings.LastIndex(s, "=?"); i >= 0 && len(s)-i <= 80 && !encodedWordEnds(s[i:]) {
		s = s[:i]
	}
	return strings.TrimRight(s, " \t")
}

// encodedWordEnds reports whether the word that s begins with is whole:
// "=?charset?encoding?text?=".
func encodedWordEnds(s string) bool {
	parts := strings.SplitN(s, "?", 5)
	return len(parts) == 5 && strings.HasPrefix(parts[4], "=")
}
