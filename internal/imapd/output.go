package imapd

import "sync"

// highWater is when waiting output is sent before more is made; outSize is the
// size of an output buffer, maxKept the largest that goes back to the pool.
const (
	highWater = 32 << 10
	outSize   = 36 << 10
	maxKept   = 128 << 10
)

var outPool = sync.Pool{New: func() any { b := make([]byte, 0, outSize); return &b }}

// buf gives the buffer to append responses to; what append returns must go back
// to s.out.
func (s *session) buf() []byte {
	if s.out == nil {
		s.out = (*outPool.Get().(*[]byte))[:0]
	}
	return s.out
}

// releaseOut gives an empty buffer back, so that idle sessions hold none.
func (s *session) releaseOut() {
	if s.out == nil || len(s.out) > 0 && s.err == nil {
		return
	}
	b := s.out[:0]
	s.out = nil
	if cap(b) <= maxKept {
		outPool.Put(&b)
	}
}

// flush sends what is waiting. The first error sticks and ends the session.
func (s *session) flush() {
	if len(s.out) == 0 {
		return
	}
	if s.err == nil {
		_, err := s.conn.Writer().Write(s.out)
		if err == nil {
			err = s.conn.Flush()
		}
		if err != nil {
			s.fail(err)
		}
	}
	s.out = s.out[:0]
}

// workBurst is how many bytes are read for an answer before what waits is sent.
const workBurst = 8 << 20

// worked counts bytes that were read for an answer. Now and then it sends what
// waits, though it be half a line: a client that has gone shows itself by that. It
// fails, with errAnswered, when the session is at its end.
func (s *session) worked(n int64) error {
	if err := s.ctx.Err(); err != nil {
		s.fail(err)
	}
	if s.work += n; s.work >= workBurst {
		s.work = 0
		s.flush()
	}
	if s.err != nil {
		return errAnswered
	}
	return nil
}

// pressure sends output when much is waiting.
func (s *session) pressure() {
	if len(s.out) >= highWater {
		s.flush()
	}
}

// untagged writes "* text".
func (s *session) untagged(text string) {
	b := append(s.buf(), "* "...)
	b = append(b, text...)
	s.out = append(b, "\r\n"...)
}

// tagged writes the response that ends a command.
func (s *session) tagged(text string) {
	b := append(s.buf(), s.tag...)
	b = append(b, ' ')
	b = append(b, text...)
	s.out = append(b, "\r\n"...)
}

// goAhead sends a continuation request at once.
func (s *session) goAhead(text string) {
	b := append(s.buf(), "+ "...)
	b = append(b, text...)
	s.out = append(b, "\r\n"...)
	s.flush()
}
