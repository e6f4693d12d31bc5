package message

import (
	"bytes"
	"strings"
)

// frame is an entity that is not complete yet.
type frame struct {
	part     Part
	env      Envelope
	message  bool   // a message: the root, or the content of a message part
	inner    bool   // part of an embedded message, whose header is body to the outer one
	digest   bool   // a child of multipart/digest
	header   bool   // its header is being read
	boundary string // multipart: what to look for; "" when not looked for
	lf       int64  // LFs before its body
}

func (p *Parser) top() *frame { return &p.frames[len(p.frames)-1] }

func (p *Parser) open(f frame) {
	f.header = true
	f.part.HeaderStart = p.pos
	p.frames = append(p.frames, f)
	p.parts++
	p.mode = modeHeader
	p.hdr = p.hdr[:0]
	p.fields, p.keep, p.dashes, p.junk = false, false, false, -1
}

// openChild opens a part of the multipart on top.
func (p *Parser) openChild() {
	parent := p.top()
	p.open(frame{inner: parent.inner, digest: strings.EqualFold(parent.part.Subtype, "digest")})
}

// keepHeader looks at bytes of the header of the entity on top, and keeps them
// when they are of a field that counts.
func (p *Parser) keepHeader(b []byte) {
	if !p.sum.UTF8Header && !p.top().inner && hasEightBit(b) {
		p.sum.UTF8Header = true
	}
	if !p.keep {
		return
	}
	n := min(len(b), maxHeader-len(p.hdr))
	p.hdr = append(p.hdr, b[:n]...)
	p.sum.Bounded = p.sum.Bounded || n < len(b)
}

// full reports whether the Summary has no room for further parts.
func (p *Parser) full() bool { return p.parts >= MaxParts || p.memory >= maxMemory }

// endHeader reads the header of the entity on top, whose body begins at pos.
func (p *Parser) endHeader(pos, lf int64) {
	f := p.top()
	f.header = false
	f.part.BodyStart, f.lf = pos, lf
	p.readEntity(f, Header(p.hdr))
	p.memory += f.memory() + len(p.hdr)
	p.mode, p.bol = modeBody, true

	deeper := len(p.frames) < MaxDepth && !p.full()
	switch {
	case f.isMultipart():
		b := boundary(&f.part)
		if b != "" && deeper {
			f.boundary = b
			p.active++
		}
		p.sum.Bounded = p.sum.Bounded || b != "" && !deeper
	case f.isMessage() && identity(f.part.Encoding):
		p.sum.Bounded = p.sum.Bounded || !deeper
		if deeper {
			p.openMessage(pos)
		}
	}
}

// openMessage opens the message inside the entity on top.
func (p *Parser) openMessage(pos int64) {
	p.open(frame{message: true, inner: true})
	p.top().part.HeaderStart = pos
}

// endHeaderEarly ends a header without an empty line, at the end of the message
// or at a delimiter. Lines at its end that are no fields were the body (RFC 7103
// section 7.2: no empty line and no field follow them).
func (p *Parser) endHeaderEarly() {
	if p.junk < 0 {
		p.endHeader(p.pos, p.lf)
		return
	}
	if p.sum.UTF8Header && !p.junkUTF8 {
		p.sum.UTF8Header, p.sum.EightBit = false, true
	}
	p.hdr = p.hdr[:p.junkLen]
	p.endHeader(p.junk, p.junkLF)
}

// match returns the innermost frame with the longest boundary that the line
// begins with, or -1, and whether the delimiter closes it. The boundary need not
// be the whole line (RFC 2046 section 5.1.1).
func (p *Parser) match(line []byte) (frame int, closing bool) {
	frame = -1
	if p.active == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return frame, false
	}
	line = line[2:]
	best := ""
	for i := len(p.frames) - 1; i >= 0; i-- {
		b := p.frames[i].boundary
		if len(b) > len(best) && len(line) >= len(b) && string(line[:len(b)]) == b {
			frame, best = i, b
		}
	}
	return frame, frame >= 0 && bytes.HasPrefix(line[len(best):], []byte("--"))
}

// ownDelimiter reports whether a line in the header of a multipart is its
// delimiter: the empty line is missing. Only the first candidate is looked at.
func (p *Parser) ownDelimiter(line []byte) bool {
	if p.dashes || !bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	p.dashes = true
	v, ok := Header(p.hdr).Get("Content-Type")
	if !ok {
		return false
	}
	var part Part
	_, part.Params = parseParams(v)
	b := boundary(&part)
	return b != "" && bytes.HasPrefix(line[2:], []byte(b))
}

// delimiter acts on a delimiter line of a frame, which begins at the current
// offset. The line end before it belongs to it.
func (p *Parser) delimiter(frame int, closing bool) {
	end, lf := p.pos, p.lf
	if p.last[1] == '\n' {
		end--
		lf--
		if p.last[0] == '\r' {
			end--
		}
	}
	p.closeTo(frame+1, end, lf)
	if closing || p.full() {
		p.sum.Bounded = p.sum.Bounded || !closing
		p.deactivate(p.top())
		p.mode, p.bol = modeBody, false
		return
	}
	p.mode = modeDelimiter
}

func (p *Parser) deactivate(f *frame) {
	if f.boundary != "" {
		f.boundary = ""
		p.active--
	}
}

// closeTo ends entities at offset end until n are open. A header may have run
// beyond end, into the line end of the delimiter: the outermost entity keeps it,
// those inside it must not reach out of it.
func (p *Parser) closeTo(n int, end, lf int64) {
	for len(p.frames) > n && p.top().header {
		p.endHeaderEarly() // may open a message
	}
	for i := n; i < len(p.frames); i++ {
		part := &p.frames[i].part
		if i == n {
			end = max(end, part.BodyStart)
		}
		part.HeaderStart, part.BodyStart = min(part.HeaderStart, end), min(part.BodyStart, end)
	}
	for len(p.frames) > n {
		p.close(end, lf)
	}
}

// close ends the entity on top and hands it to its parent.
func (p *Parser) close(end, lf int64) {
	f := p.top()
	p.deactivate(f)
	f.part.BodyEnd = end
	if end > f.part.BodyStart {
		f.part.Lines = lf - f.lf
	}
	if f.isMultipart() && len(f.part.Parts) == 0 {
		f.part.Parts = []Part{f.part.opaque()}
	}
	done := *f
	p.frames = p.frames[:len(p.frames)-1]
	switch {
	case len(p.frames) == 0:
		p.sum.Root, p.sum.Envelope = done.part, done.env
	case done.message:
		p.top().part.Message = &Embedded{Envelope: done.env, Root: done.part}
	default:
		parent := &p.top().part
		parent.Parts = append(parent.Parts, done.part)
	}
}

// opaque is the one child of a multipart whose parts are not known: all of its
// body, as text.
func (p *Part) opaque() Part {
	return Part{
		Type: "TEXT", Subtype: "PLAIN", Encoding: p.Encoding,
		HeaderStart: p.BodyStart, BodyStart: p.BodyStart, BodyEnd: p.BodyEnd, Lines: p.Lines,
	}
}

// memory is what the entity takes beside the texts of its header, more or less.
func (f *frame) memory() int {
	const part, entry = 400, 64
	n := len(f.part.Params) + len(f.part.DispParams) + len(f.part.Language)
	for _, list := range f.env.lists() {
		n += len(*list)
	}
	return part + entry*n
}

func (f *frame) isMultipart() bool { return strings.EqualFold(f.part.Type, "multipart") }

func (f *frame) isMessage() bool {
	return strings.EqualFold(f.part.Type, "message") &&
		(strings.EqualFold(f.part.Subtype, "rfc822") || strings.EqualFold(f.part.Subtype, "global"))
}

// boundary returns the boundary parameter when it can be one.
func boundary(p *Part) string {
	if b := strings.TrimRight(p.Param("boundary"), " \t"); len(b) <= maxBoundary {
		return b
	}
	return ""
}

// identity reports whether a transfer encoding leaves the bytes as they are
// (RFC 2045 section 6.2).
func identity(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return true
	}
	return false
}
