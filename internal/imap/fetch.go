package imap

import (
	"strconv"
	"strings"
)

// FetchKind is what a FETCH item asks for.
type FetchKind uint8

// The fetch items (RFC 9051 section 6.4.5, RFC 3501, RFC 7162, RFC 8474, RFC 8514).
const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchInternalDate
	FetchSize
	FetchModSeq
	FetchSaveDate
	FetchEmailID
	FetchThreadID
	FetchEnvelope
	FetchBodyStructure
	FetchBodyOld // BODY: the structure without extension data
	FetchBody    // BODY[...]
	FetchBinary  // BINARY[...]
	FetchBinarySize
	FetchRFC822 // the three of RFC 3501
	FetchRFC822Header
	FetchRFC822Text
)

// SectionKind is the last word of a section.
type SectionKind uint8

// The section texts.
const (
	SectionAll SectionKind = iota
	SectionHeader
	SectionHeaderFields
	SectionHeaderFieldsNot
	SectionText
	SectionMIME
)

// Section is what stands in the brackets of BODY[...] and BINARY[...].
type Section struct {
	Part   []uint32
	Kind   SectionKind
	Fields []string
}

// FetchItem is one item of a FETCH.
type FetchItem struct {
	Kind    FetchKind
	Section Section
	Peek    bool   // does not set \Seen
	Partial bool   // <Offset.Count>
	Offset  uint64 // below 2^63, as Count
	Count   uint64
}

// SetsSeen reports whether fetching the item sets \Seen.
func (f FetchItem) SetsSeen() bool {
	switch f.Kind {
	case FetchBody, FetchBinary:
		return !f.Peek
	case FetchRFC822, FetchRFC822Text:
		return true
	}
	return false
}

// Fetch is a FETCH or UID FETCH.
type Fetch struct {
	Set             NumSet
	Items           []FetchItem
	ChangedSince    uint64 // valid if HasChangedSince (RFC 7162 section 3.1.4.1)
	HasChangedSince bool
}

// maxParts bounds how deep a section may name parts, maxItems the items.
const (
	maxParts = 100
	maxItems = 1000
)

// Fetch reads the arguments of FETCH.
func (p *Parser) Fetch() Fetch {
	f := Fetch{Set: p.NumSet()}
	p.SP()
	if p.Take('(') {
		for p.err == nil {
			f.Items = p.fetchItem(f.Items, true)
			if len(f.Items) > maxItems {
				p.Fail("Too many fetch items")
			}
			if p.Take(')') {
				break
			}
			p.SP()
		}
	} else {
		f.Items = p.fetchItem(nil, false)
	}
	if p.takeSP() {
		p.fetchModifiers(&f)
	}
	return f
}

func (p *Parser) fetchModifiers(f *Fetch) {
	p.Need('(')
	for p.err == nil {
		switch {
		case p.word("CHANGEDSINCE"):
			p.SP()
			f.ChangedSince, f.HasChangedSince = p.Number64(), true
		default:
			p.Fail("Unknown FETCH modifier")
		}
		if p.Take(')') {
			return
		}
		p.SP()
	}
}

var macros = map[string][]FetchKind{
	"ALL":  {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope},
	"FAST": {FetchFlags, FetchInternalDate, FetchSize},
	"FULL": {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBodyOld},
}

var plainItems = map[string]FetchKind{
	"FLAGS": FetchFlags, "UID": FetchUID, "INTERNALDATE": FetchInternalDate,
	"RFC822.SIZE": FetchSize, "MODSEQ": FetchModSeq, "SAVEDATE": FetchSaveDate,
	"EMAILID": FetchEmailID, "THREADID": FetchThreadID,
	"ENVELOPE": FetchEnvelope, "BODYSTRUCTURE": FetchBodyStructure,
	"RFC822": FetchRFC822, "RFC822.HEADER": FetchRFC822Header, "RFC822.TEXT": FetchRFC822Text,
}

func isItemChar(c byte) bool {
	return isAtomChar(c) && c != '[' && c != '<'
}

// fetchItem reads one item, or a macro when it stands alone.
func (p *Parser) fetchItem(items []FetchItem, inList bool) []FetchItem {
	name := strings.ToUpper(p.run(isItemChar, "a fetch item"))
	if p.err != nil {
		return items
	}
	if kind, ok := plainItems[name]; ok {
		return append(items, FetchItem{Kind: kind})
	}
	if !inList {
		if kinds, ok := macros[name]; ok {
			for _, k := range kinds {
				items = append(items, FetchItem{Kind: k})
			}
			return items
		}
	}
	it := FetchItem{Kind: FetchBody}
	switch name {
	case "BODY":
		if p.Peek() != '[' {
			return append(items, FetchItem{Kind: FetchBodyOld})
		}
	case "BODY.PEEK":
		it.Peek = true
	case "BINARY":
		it.Kind = FetchBinary
	case "BINARY.PEEK":
		it.Kind, it.Peek = FetchBinary, true
	case "BINARY.SIZE":
		it.Kind, it.Peek = FetchBinarySize, true
	default:
		p.Fail("Unknown fetch item " + name)
		return items
	}
	it.Section = p.section(it.Kind != FetchBody)
	if p.Peek() == '<' && it.Kind != FetchBinarySize {
		p.partial(&it)
	}
	return append(items, it)
}

// partial reads "<offset.count>": number64s, of which count may not be 0 (RFC 9051
// sections 6.4.5 and 9).
func (p *Parser) partial(it *FetchItem) {
	p.Need('<')
	it.Partial = true
	it.Offset = p.Number64()
	p.Need('.')
	if it.Count = p.Number64(); it.Count == 0 {
		p.Fail("Expected a number above zero")
	}
	p.Need('>')
}

// section reads "[...]"; binary ones have part numbers only (RFC 3516 section 4.2).
func (p *Parser) section(binary bool) Section {
	var s Section
	p.Need('[')
	for c := p.Peek(); c >= '0' && c <= '9'; c = p.Peek() {
		if s.Part = append(s.Part, p.NZNumber()); len(s.Part) > maxParts {
			p.Fail("Too many part numbers")
		}
		if !p.Take('.') {
			p.Need(']')
			return s
		}
	}
	if p.Take(']') {
		if len(s.Part) > 0 {
			p.Fail("A section must not end with a dot")
		}
		return s
	}
	if binary {
		p.Fail("Expected a part number")
		return s
	}
	switch w := strings.ToUpper(p.run(func(c byte) bool { return isAtomChar(c) }, "a section")); w {
	case "HEADER":
		s.Kind = SectionHeader
	case "HEADER.FIELDS":
		s.Kind = SectionHeaderFields
	case "HEADER.FIELDS.NOT":
		s.Kind = SectionHeaderFieldsNot
	case "TEXT":
		s.Kind = SectionText
	case "MIME":
		s.Kind = SectionMIME
		if len(s.Part) == 0 {
			p.Fail("MIME needs a part number")
		}
	default:
		p.Fail("Unknown section " + w)
	}
	if s.Kind == SectionHeaderFields || s.Kind == SectionHeaderFieldsNot {
		s.Fields = p.fieldList()
	}
	p.Need(']')
	return s
}

func (p *Parser) fieldList() []string {
	var fields []string
	p.SP()
	p.Need('(')
	for p.err == nil {
		fields = append(fields, p.AString())
		if len(fields) > maxItems {
			p.Fail("Too many header fields")
		}
		if p.Take(')') {
			break
		}
		p.SP()
	}
	return fields
}

var sectionWords = [...]string{
	SectionHeader: "HEADER", SectionHeaderFields: "HEADER.FIELDS",
	SectionHeaderFieldsNot: "HEADER.FIELDS.NOT", SectionText: "TEXT", SectionMIME: "MIME",
}

var itemWords = [...]string{
	FetchBody: "BODY", FetchBinary: "BINARY", FetchBinarySize: "BINARY.SIZE",
	FetchRFC822: "RFC822", FetchRFC822Header: "RFC822.HEADER", FetchRFC822Text: "RFC822.TEXT",
}

// AppendName writes the item's name as it stands in the response: without PEEK,
// with the partial's origin only.
func (f FetchItem) AppendName(b []byte) []byte {
	b = append(b, itemWords[f.Kind]...)
	switch f.Kind {
	case FetchBody, FetchBinary, FetchBinarySize:
	default:
		return b
	}
	b = append(b, '[')
	for i, n := range f.Section.Part {
		if i > 0 {
			b = append(b, '.')
		}
		b = AppendNumber(b, n)
	}
	if w := sectionWords[f.Section.Kind]; w != "" {
		if len(f.Section.Part) > 0 {
			b = append(b, '.')
		}
		b = append(b, w...)
	}
	if len(f.Section.Fields) > 0 {
		b = append(b, " ("...)
		for i, name := range f.Section.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = AppendAString(b, name, false)
		}
		b = append(b, ')')
	}
	b = append(b, ']')
	if f.Partial {
		b = append(b, '<')
		b = strconv.AppendUint(b, f.Offset, 10)
		b = append(b, '>')
	}
	return b
}
