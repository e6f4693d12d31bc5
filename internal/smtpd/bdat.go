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
		s.chunkAfterFailure(in.err, last)
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
		// RFC 2033 section 4.3 has no reply here to LMTP's LAST. Dovecot gives this
		// one, and clients written against it would wait for ours in vain.
		if s.skipChunk(size) {
			s.contentAllowed()
		}
		return false
	}
	in, err := s.openInflow()
	if err != nil {
		if s.skipChunk(size) {
			s.refuseChunk(err, last)
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

// chunkAfterFailure answers a chunk of a message of which an earlier one failed.
func (s *session) chunkAfterFailure(failure error, last bool) {
	if last && s.lmtp() {
		s.refuseChunk(failure, last)
	} else {
		s.badSequence("An earlier chunk failed")
	}
	if last {
		s.reset()
	}
}

// refuseChunk answers a chunk by which a message fails: the last one in LMTP once
// for each recipient (RFC 2033 section 4.3).
func (s *session) refuseChunk(err error, last bool) {
	if last && s.lmtp() {
		s.answerEach(s.env, Outcome{}, err)
		return
	}
	s.refuse(err, "BDAT")
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
