package courier

import (
	"bytes"
	"io"
	"sync"
)

// blockSize is how much content is handled at a time, in bytes.
const blockSize = 64 << 10

// blocks are buffers for content: a block, stuffed in the worst case, and the
// final dot.
var blocks = sync.Pool{New: func() any { b := make([]byte, 0, 2*blockSize+16); return &b }}

// stuffer doubles the dots at the start of lines (RFC 5321 section 4.5.2). Lines
// end with CRLF and nothing else.
type stuffer struct {
	cr    bool // the last byte was a CR
	start bool // the next byte begins a line
}

// newStuffer is at the start of a message, which is the start of a line.
func newStuffer() stuffer { return stuffer{start: true} }

// append adds src, stuffed, to dst.
func (s *stuffer) append(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	// A line end that lies across two blocks.
	if s.cr && src[0] == '\n' {
		dst = append(dst, '\n')
		src = src[1:]
		s.cr, s.start = false, true
		if len(src) == 0 {
			return dst
		}
	}
	if s.start && src[0] == '.' {
		dst = append(dst, '.')
	}
	for {
		i := bytes.Index(src, crlfDot)
		if i < 0 {
			break
		}
		dst = append(dst, src[:i+3]...)
		dst = append(dst, '.')
		src = src[i+3:]
	}
	dst = append(dst, src...)
	n := len(dst)
	s.cr = dst[n-1] == '\r'
	s.start = n >= 2 && dst[n-1] == '\n' && dst[n-2] == '\r'
	return dst
}

var crlfDot = []byte("\r\n.")

// end is what ends the message.
func (s *stuffer) end() string {
	if s.start {
		return ".\r\n"
	}
	return "\r\n.\r\n"
}

// smuggles reports whether content has a line of one dot, by the reckoning of a
// server that takes a bare CR or LF for the end of a line, and drops NULs: the
// end of the message for it, and commands of somebody else's after it.
func smuggles(r io.Reader) (bool, error) {
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	buf := (*block)[:blockSize]
	// What came before: is a dot a line's first, by a bare line end or not.
	var last, before byte = '\n', '\r'
	seen := last // the last one that is no NUL
	var dot, bare bool
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b == 0 {
				before, last = last, b
				continue
			}
			if dot && (b == '\r' || b == '\n') && bare {
				return true, nil
			}
			dot = b == '.' && (seen == '\n' || seen == '\r')
			// After CRLF the dot is doubled, which keeps it from being alone.
			bare = !(last == '\n' && before == '\r')
			before, last, seen = last, b, b
		}
		if err == io.EOF {
			return dot && bare, nil // the final CRLF will follow
		}
		if err != nil {
			return false, err
		}
	}
}
