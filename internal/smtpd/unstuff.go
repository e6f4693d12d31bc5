package smtpd

import "bytes"

// unstuffer finds the end of DATA and takes away the dots that were added for
// transparency (RFC 5321 section 4.5.2). Only <CRLF>.<CRLF> is an end and only
// <CRLF> begins a line; every other octet, bare CR, LF and NUL included, passes
// unchanged. It works on whole buffers in place, and copies only behind a dot.
type unstuffer struct{ skip int }

var crlfDot = []byte("\r\n.")

// start puts a line end before the first line into buf, which scan will not give
// out, and returns its length. buf is to be filled behind it.
func (u *unstuffer) start(buf []byte) int {
	u.skip = copy(buf, "\r\n")
	return u.skip
}

// scan looks at buf: what the last call did not use, and new input. out is
// content, within buf's first used octets. What is behind them is the beginning
// of the next call's buf, at most 4 octets; once done, it is the input behind
// the end.
func (u *unstuffer) scan(buf []byte) (out []byte, used int, done bool) {
	start, w := 0, 0 // first octet not given out; end of what is given out
	emit := func(end int) {
		if w == start {
			w = end
		} else {
			w += copy(buf[w:], buf[start:end])
		}
		start = end
	}
	for {
		i := bytes.Index(buf[start:], crlfDot)
		if i < 0 {
			break
		}
		i += start
		next := buf[i+len(crlfDot):]
		switch {
		case len(next) >= 2 && next[0] == '\r' && next[1] == '\n':
			emit(i + 2)
			return u.cut(buf[:w]), i + 5, true
		case len(next) == 0, len(next) == 1 && next[0] == '\r':
			emit(i)
			return u.cut(buf[:w]), i, false // cannot be told yet
		}
		emit(i + 2)
		start++ // the dot
	}
	end := len(buf)
	switch tail := buf[start:]; {
	case bytes.HasSuffix(tail, crlfDot[:2]):
		end -= 2
	case bytes.HasSuffix(tail, crlfDot[:1]):
		end--
	}
	emit(end)
	return u.cut(buf[:w]), end, false
}

// cut takes the line end of start off.
func (u *unstuffer) cut(out []byte) []byte {
	n := min(u.skip, len(out))
	u.skip -= n
	return out[n:]
}
