package message

import (
	"bytes"
	"encoding/binary"
)

// Bounds of the parser. What goes beyond them stays part of the message, but
// opaque: no deeper structure, no further fields.
const (
	MaxDepth  = 100     // nested multiparts and messages
	MaxParts  = 10000   // entities of one message
	maxHeader = 1 << 20 // bytes of the fields that a Summary is made of, in one entity's header
	maxMemory = 8 << 20 // bytes that a Summary takes, more or less

	maxHead     = 1024 // bytes of a line that are looked at to know what it is
	maxBoundary = 1000 // longer ones are treated as missing (RFC 2046 section 5.1.1 allows 70)
)

// Options of a Parser. The zero value is good.
type Options struct{}

// Parser computes a Summary in one pass. Any bytes are a message; any chunking
// gives the same Summary. Besides that and the fields at hand it keeps no more than
// one partial line of 1,024 bytes.
type Parser struct {
	sum    *Summary
	frames []frame // the entities that are open, the root first
	parts  int     // entities so far

	pos  int64 // offset of the next byte to consume
	lf   int64 // LFs consumed
	cr   int64 // CRs seen
	last [2]byte

	mode  mode
	bol   bool   // modeBody: the next byte begins a line
	carry []byte // the start of a line that cannot be judged yet
	spare []byte

	hdr      []byte // of the top frame's header the fields that count, up to maxHeader
	fields   bool   // the header has a field
	keep     bool   // the field at hand is kept
	junk     int64  // where lines that are no field began after the last field, or -1
	junkLF   int64  // LFs before junk
	junkLen  int    // len(hdr) there
	junkUTF8 bool   // UTF8Header there
	dashes   bool   // a "--" line was held against the header's own boundary
	memory   int    // what the Summary takes

	active  int  // frames with a boundary to look for
	hasBare bool // an LF without CR
}

type mode uint8

const (
	modeHeader    mode = iota // at the start of a header line
	modeRest                  // inside a header line
	modeBody                  // in a body, a preamble or an epilogue
	modeDelimiter             // inside a delimiter line that opens a part
)

// NewParser returns a Parser at the start of a message.
func NewParser(Options) *Parser {
	p := &Parser{hdr: make([]byte, 0, 4096), frames: make([]frame, 0, 2)}
	p.Reset()
	return p
}

// Reset makes the Parser ready for another message, with the memory it has.
// Summaries it returned stay as they are.
func (p *Parser) Reset() {
	hdr := p.hdr
	if cap(hdr) > 4*4096 { // a rare one does not keep its memory
		hdr = make([]byte, 0, 4096)
	}
	clear(p.frames[:cap(p.frames)])
	*p = Parser{sum: &Summary{}, junk: -1, hdr: hdr[:0], frames: p.frames[:0], carry: p.carry[:0], spare: p.spare[:0]}
	p.open(frame{})
}

// Parse computes the Summary of a whole message.
func Parse(b []byte) *Summary {
	p := NewParser(Options{})
	p.Write(b)
	return p.Finish()
}

// Write takes the next bytes of the message. It never fails and keeps no
// reference to b.
func (p *Parser) Write(b []byte) (int, error) {
	n := len(b)
	if !p.sum.NUL && bytes.IndexByte(b, 0) >= 0 {
		p.sum.NUL = true
	}
	p.cr += int64(bytes.Count(b, []byte{'\r'}))
	if len(p.carry) > 0 {
		b = b[p.fill(b):]
		if !complete(p.carry) {
			return n, nil
		}
		p.flush(false)
	}
	p.consume(b, false)
	return n, nil
}

// Finish ends the message and returns its Summary. After it comes Reset, or
// nothing.
func (p *Parser) Finish() *Summary {
	if len(p.carry) > 0 {
		p.flush(true)
	}
	s := p.sum
	s.Size = p.pos
	s.BareLines = p.hasBare || p.cr != p.lf
	p.closeTo(0, p.pos, p.lf)
	return s
}

// fill adds what b has of the carried line, and returns how much that is.
func (p *Parser) fill(b []byte) int {
	n := min(len(b), maxHead-len(p.carry))
	if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
		n = i + 1
	}
	p.carry = append(p.carry, b[:n]...)
	return n
}

// complete reports whether enough of a line is there to know what it is.
func complete(head []byte) bool {
	return len(head) >= maxHead || len(head) > 0 && head[len(head)-1] == '\n'
}

func (p *Parser) flush(final bool) {
	line := p.carry
	p.carry, p.spare = p.spare[:0], line
	p.consume(line, final)
}

// lineHead returns what there is of the line at the start of b, at most maxHead
// bytes, and whether that is enough to know what it is.
func lineHead(b []byte) ([]byte, bool) {
	head := b[:min(len(b), maxHead)]
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		return head[:i+1], true
	}
	return head, len(head) == maxHead
}

// consume runs b through the state machine. With final, b ends the message, so
// that a line without an end is a line all the same.
func (p *Parser) consume(b []byte, final bool) {
	for len(b) > 0 {
		switch p.mode {
		case modeHeader:
			b = p.headerLine(b, final)
		case modeRest:
			b = p.headerRest(b)
		case modeBody:
			b = p.body(b, final)
		case modeDelimiter:
			b = p.delimiterRest(b)
		}
	}
}

// headerLine judges the line of a header that b begins with, consumes what is
// known of it and returns the rest of b.
func (p *Parser) headerLine(b []byte, final bool) []byte {
	head, whole := lineHead(b)
	if !whole && !final {
		p.carry = append(p.carry[:0], b...)
		return nil
	}
	if isEmptyLine(head) {
		p.advance(head)
		p.endHeader(p.pos, p.lf)
		return b[len(head):]
	}
	if frame, closing := p.match(head); frame >= 0 {
		p.delimiter(frame, closing)
		return b
	}
	name, _ := fieldName(head)
	switch {
	case name > 0:
		p.fields, p.junk = true, -1
		p.field(head[:name])
	case p.fields && (head[0] == ' ' || head[0] == '\t'):
		// A folded line.
	default:
		if p.ownDelimiter(head) {
			p.endHeader(p.pos, p.lf)
			return b
		}
		if p.junk < 0 {
			p.junk, p.junkLF, p.junkLen, p.junkUTF8 = p.pos, p.lf, len(p.hdr), p.sum.UTF8Header
		}
	}
	if head[len(head)-1] != '\n' {
		p.mode = modeRest
	}
	p.keepHeader(head)
	p.advance(head)
	return b[len(head):]
}

// headerRest consumes the rest of a long header line.
func (p *Parser) headerRest(b []byte) []byte {
	n := lineEnd(b, 0)
	p.keepHeader(b[:n])
	p.advance(b[:n])
	if b[n-1] == '\n' {
		p.mode = modeHeader
	}
	return b[n:]
}

// delimiterRest consumes what follows the boundary on a delimiter line; the
// part begins after it.
func (p *Parser) delimiterRest(b []byte) []byte {
	n := lineEnd(b, 0)
	p.advance(b[:n])
	if b[n-1] == '\n' {
		p.openChild()
	}
	return b[n:]
}

// body consumes lines until one of them is a delimiter, and returns the rest.
func (p *Parser) body(b []byte, final bool) []byte {
	i, lf, bol, active := 0, p.lf, p.bol, p.active > 0
	bare := p.hasBare
	for i < len(b) {
		if bol && active && b[i] == '-' {
			head, whole := lineHead(b[i:])
			if !whole && !final {
				p.lf, p.hasBare = lf, bare
				p.skip(b[:i], true)
				p.carry = append(p.carry[:0], b[i:]...)
				return nil
			}
			if frame, closing := p.match(head); frame >= 0 {
				p.lf, p.hasBare = lf, bare
				p.skip(b[:i], true)
				p.delimiter(frame, closing)
				return b[i:]
			}
		}
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			i, bol = len(b), false
			break
		}
		i += n
		if i > 0 && b[i-1] != '\r' || i == 0 && p.last[1] != '\r' {
			bare = true
		}
		i, bol = i+1, true
		lf++
	}
	p.lf, p.hasBare = lf, bare
	p.skip(b[:i], bol)
	return nil
}

// skip notes that body bytes, whose LFs are counted, are consumed.
func (p *Parser) skip(b []byte, bol bool) {
	p.bol = bol
	p.pos += int64(len(b))
	p.remember(b)
	if !p.sum.EightBit && hasEightBit(b) {
		p.sum.EightBit = true
	}
}

// advance consumes a line or a piece of one outside of bodies.
func (p *Parser) advance(b []byte) {
	n := len(b)
	if b[n-1] == '\n' {
		before := p.last[1]
		if n > 1 {
			before = b[n-2]
		}
		if before != '\r' {
			p.hasBare = true
		}
		p.lf++
	}
	p.pos += int64(n)
	p.remember(b)
	if len(p.frames) > 1 && !p.sum.EightBit && hasEightBit(b) {
		p.sum.EightBit = true
	}
}

// remember keeps the last two bytes: what a delimiter takes with it.
func (p *Parser) remember(b []byte) {
	switch n := len(b); {
	case n > 1:
		p.last = [2]byte{b[n-2], b[n-1]}
	case n == 1:
		p.last = [2]byte{p.last[1], b[0]}
	}
}

// hasEightBit looks at 32 bytes a step.
func hasEightBit(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 32 {
		v := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if v&high != 0 {
			return true
		}
		b = b[32:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
