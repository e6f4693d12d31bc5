package mailbox

import (
	"bytes"
	"context"
	"io"
	"strings"
	"unicode/utf8"

	"posthouse/internal/message"
)

// inBody looks for the text in the decoded text of the body: text parts, the
// messages inside with their headers, and, for TEXT, the headers of parts.
func (q *query) inBody(c *candidate) bool {
	if q.text == "" {
		return true
	}
	sum := c.structure()
	if sum == nil {
		return false
	}
	return q.inPart(c, &sum.Root, true)
}

func (q *query) inPart(c *candidate, p *message.Part, root bool) bool {
	if c.err != nil || c.ctx.Err() != nil {
		return false
	}
	if !root && q.kind == MatchText && q.inHeader(c, p) {
		return true
	}
	switch {
	case p.Message != nil:
		inside := &p.Message.Root
		return q.inHeader(c, inside) || q.inPart(c, inside, true)
	case len(p.Parts) > 0:
		for i := range p.Parts {
			if q.inPart(c, &p.Parts[i], false) {
				return true
			}
		}
		// What the parser did not look into is searched as it is.
		return c.sum.Bounded && q.inText(c, &message.Part{BodyStart: p.Parts[len(p.Parts)-1].BodyEnd, BodyEnd: p.BodyEnd})
	case strings.EqualFold(p.Type, "text"), strings.EqualFold(p.Type, "message"):
		return q.inText(c, p)
	}
	return false
}

// inText streams a part's text past the needle.
func (q *query) inText(c *candidate, p *message.Part) bool {
	body := c.bytes()
	if body == nil {
		return false
	}
	raw := &cancelReader{ctx: c.ctx, r: io.NewSectionReader(body, p.BodyStart, p.BodyEnd-p.BodyStart)}
	found, err := streamContains(message.PartText(p, raw), q.text)
	if err != nil {
		c.err = err
	}
	return found
}

// cancelReader ends a long read when nobody waits for it any more.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *cancelReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// streamWindow is how much decoded text is looked at together.
const streamWindow = 32 << 10

// streamContains reports whether the text of r, folded, contains needle, which is
// folded already. It keeps a window and the length of the needle in memory.
func streamContains(r io.Reader, needle string) (bool, error) {
	want := []byte(needle)
	in := make([]byte, 0, streamWindow)
	folded := make([]byte, 0, streamWindow+len(want))
	for {
		n, err := r.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		end := err != nil
		k := len(in)
		if !end {
			k -= partialRune(in)
		}
		folded = message.AppendFold(folded, in[:k])
		in = append(in[:0], in[k:]...)
		if bytes.Contains(folded, want) {
			return true, nil
		}
		if keep := len(want) - 1; len(folded) > keep {
			folded = append(folded[:0], folded[len(folded)-keep:]...)
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// partialRune is the number of bytes at the end of b that begin a rune and do
// not end it.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
