package smtpd

import (
	"strconv"
	"strings"
)

// cmdBDAT takes a chunk of a message (RFC 3030 section 2). Whatever the answer,
// the octets of the chunk are read, so that none of them is ever taken for a
// command.
func (s *session) cmdBDAT(arg string) {
	size, last, ok := parseBDAT(arg)
	if size < 0 {
		// Nobody knows what comes next.
		s.hangUp("bad chunk", 501, enhanced(5, 5, 4), "Syntax: BDAT size [LAST]")
		return
	}
	if !ok {
		if s.skipChunk(size) {
			s.badArguments("BDAT size [LAST]")
		}
		return
	}
	if s.in == nil && !s.openChunks(size, last) {
		return
	}
	in := s.in
	failed := in.err != nil // in an earlier chunk
	if !failed && size > s.cfg.Limits.MessageSize-in.size {
		in.fail(s.tooLarge())
	}
	if err := s.receiveChunk(in, size); err != nil {
		s.contentLost(in, err)
		return
	}
	switch {
	case failed:
		s.badSequence("An earlier chunk failed")
		if last {
			s.reset()
		}
	case last:
		s.conclude(in)
	case in.err != nil:
		s.refuse(in.err, "BDAT")
	default:
		s.reply(250, enhanced(2, 0, 0), strconv.FormatInt(size, 10)+" octets received")
	}
}

// parseBDAT reads "size [LAST]". size is -1 when it cannot be told.
func parseBDAT(arg string) (size int64, last, ok bool) {
	fields := strings.Fields(arg)
	if len(fields) == 0 || strings.Trim(fields[0], "0123456789") != "" {
		return -1, false, false
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return -1, false, false
	}
	last = len(fields) > 1 && strings.EqualFold(fields[1], "LAST")
	return size, last, len(fields) == 1 || last && len(fields) == 2
}

// openChunks begins the content of a message with its first chunk; when it may
// not, the chunk is skipped and answered.
func (s *session) openChunks(size int64, last bool) bool {
	if s.env == nil || len(s.env.Rcpts) == 0 {
		if s.skipChunk(size) {
			s.contentAllowed()
		}
		return false
	}
	in, err := s.openInflow()
	if err != nil {
		if s.skipChunk(size) {
			s.refuse(err, "BDAT")
		}
		if last {
			s.reset()
			return false
		}
		// The chunks that are under way belong to this failed message.
		in = s.brokenInflow(err)
		s.in = in
		return false
	}
	s.in = in
	return true
}

// skipChunk reads a chunk that nobody wants; false when the session ended.
func (s *session) skipChunk(size int64) bool {
	in := s.brokenInflow(nil)
	if err := s.receiveChunk(in, size); err != nil {
		s.contentLost(in, err)
		return false
	}
	return true
}
