package message

import (
	"errors"
	"time"
)

// ErrCorrupt is what DecodeSummary answers for bytes that no AppendBinary wrote.
var ErrCorrupt = errors.New("message: corrupt summary")

// ErrVersion is what DecodeSummary answers for a Summary of a later release.
var ErrVersion = errors.New("message: summary of a later version")

// DecodeSummary reads what AppendBinary wrote. It is safe on any bytes: what it
// returns has nested offsets inside the message. The texts share one copy of b.
func DecodeSummary(b []byte) (*Summary, error) {
	if len(b) == 0 {
		return nil, ErrCorrupt
	}
	if b[0] < 1 || b[0] > version {
		return nil, ErrVersion
	}
	d := decoder{s: string(b), i: 1}
	s := &Summary{}
	d.slabs()
	flags := d.byte()
	s.BareLines, s.NUL = flags&flagBare != 0, flags&flagNUL != 0
	s.EightBit, s.UTF8Header = flags&flagEight != 0, flags&flagUTF8 != 0
	if b[0] > 1 {
		s.Bounded, s.Kept = flags&flagBounded != 0, Kept(flags>>keptShift)
	}
	s.Size = d.length()
	s.Received = int(d.length())
	s.References = d.list()
	d.envelope(&s.Envelope)
	d.part(&s.Root, 0, s.Size, 0)
	if d.bad || d.i != len(d.s) || s.Kept > KeptTraits {
		return nil, ErrCorrupt
	}
	if b[0] == 1 && s.mayBeCut() {
		s.Kept = KeptTraits
	}
	return s, nil
}

// maxNesting bounds the recursion: each level of MaxDepth may be a part with a
// message inside.
const maxNesting = 2*MaxDepth + 2

type decoder struct {
	s   string
	i   int
	bad bool

	addresses []Address
	params    []Param
	parts     []Part
	strings   []string
}

// slabs takes the memory of all lists. No entry is shorter than a byte, so the
// counts cannot ask for more than the input justifies.
func (d *decoder) slabs() {
	var n [4]int
	left := len(d.s)
	for i := range n {
		v := d.uvarint()
		if v > uint64(left) || i == 2 && v > 3*MaxParts {
			d.bad = true
			return
		}
		n[i] = int(v)
		left -= n[i]
	}
	if n[0] > 0 {
		d.addresses = make([]Address, n[0])
	}
	if n[1] > 0 {
		d.params = make([]Param, n[1])
	}
	if n[2] > 0 {
		d.parts = make([]Part, n[2])
	}
	if n[3] > 0 {
		d.strings = make([]string, n[3])
	}
}

// take cuts the next list off a slab; nil for an empty one.
func take[T any](d *decoder, slab *[]T) []T {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(*slab)) {
		d.bad = true
		return nil
	}
	list := (*slab)[:n:n]
	*slab = (*slab)[n:]
	return list
}

func (d *decoder) byte() byte {
	if d.i >= len(d.s) {
		d.bad = true
		return 0
	}
	c := d.s[d.i]
	d.i++
	return c
}

func (d *decoder) uvarint() uint64 {
	if d.i < len(d.s) && d.s[d.i] < 0x80 {
		d.i++
		return uint64(d.s[d.i-1])
	}
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		c := d.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	// Nothing here needs the 64th bit but negative dates, which varint reads.
	c := d.byte()
	if c > 1 {
		d.bad = true
	}
	return v | uint64(c)<<63
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// length reads a number that is not negative, with room to add some up.
func (d *decoder) length() int64 {
	v := d.uvarint()
	if v >= 1<<60 {
		d.bad = true
		return 0
	}
	return int64(v)
}

func (d *decoder) string() string {
	v := d.uvarint()
	n := v >> 1
	if v&1 != 0 {
		if n >= uint64(len(words)) {
			d.bad = true
			return ""
		}
		return words[n]
	}
	if n > uint64(len(d.s)-d.i) {
		d.bad = true
		return ""
	}
	s := d.s[d.i : d.i+int(n)]
	d.i += int(n)
	return s
}

func (d *decoder) list() []string {
	list := take(d, &d.strings)
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *decoder) paramList() []Param {
	list := take(d, &d.params)
	for i := range list {
		list[i].Name = d.string()
		list[i].Value = d.string()
	}
	return list
}

func (d *decoder) envelope(e *Envelope) {
	bits := d.byte()
	marks := e.present()
	for i, s := range e.texts() {
		*s = d.string()
		*marks[i].has = bits&marks[i].bit != 0 || *s != "" // version 1 marks only the Subject
	}
	if bits&envTime != 0 {
		e.Time = unixTime(d.varint(), d.varint())
	}
	for _, list := range e.lists() {
		l := take(d, &d.addresses)
		for i := range l {
			a := &l[i]
			if a.Group = Group(d.byte()); a.Group > GroupEnd {
				d.bad = true
			}
			a.Name = d.string()
			a.Mailbox = d.string()
			a.Host = d.string()
		}
		*list = l
	}
}

func unixTime(sec, offset int64) time.Time {
	t := time.Unix(sec, 0)
	if offset == 0 || offset <= -24*3600 || offset >= 24*3600 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", int(offset)))
}

// part reads a part that lies between base and end.
func (d *decoder) part(p *Part, base, end int64, depth int) {
	if d.bad || depth > maxNesting {
		d.bad = true
		return
	}
	for _, s := range p.texts() {
		*s = d.string()
	}
	p.Params = d.paramList()
	p.DispParams = d.paramList()
	p.Language = d.list()
	p.HeaderStart = base + d.length()
	p.BodyStart = p.HeaderStart + d.length()
	p.BodyEnd = p.BodyStart + d.length()
	p.Lines = d.length()
	if p.HeaderStart > end || p.BodyStart > end || p.BodyEnd > end {
		d.bad = true
		return
	}
	p.Parts = take(d, &d.parts)
	from := p.BodyStart
	for i := range p.Parts {
		d.part(&p.Parts[i], from, p.BodyEnd, depth+1)
		from = p.Parts[i].BodyEnd
	}
	if d.byte() != 0 && !d.bad {
		p.Message = &Embedded{}
		d.envelope(&p.Message.Envelope)
		d.part(&p.Message.Root, p.BodyStart, p.BodyEnd, depth+1)
	}
}
