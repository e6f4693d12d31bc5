package smtpd

import (
	"bytes"
	"net/netip"

	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// Newlines is what becomes of a client's CR and LF that are not <CRLF>. They are
// no line ends (RFC 5321 section 2.3.8), and where two servers disagree about
// that, one message becomes two. Here <CRLF>.<CRLF> alone ends a message,
// whatever the choice; the choice is about what is passed on to others.
type Newlines int

// The choices.
const (
	// RefuseBare refuses such content at its end, and ends a session whose
	// command line ends with a bare LF.
	RefuseBare Newlines = iota
	// NormaliseBare makes <CRLF> of a bare LF and a space of a bare CR, and lets
	// command lines end with LF.
	NormaliseBare
	// AcceptBare passes them on unchanged.
	AcceptBare
)

// newlinesFor is what holds for a client.
func (c *Config) newlinesFor(remote netip.Addr) Newlines {
	if c.NormaliseFrom.Have(remote) {
		return NormaliseBare
	}
	return c.Newlines
}

// bareNewline refuses content with bare line ends. The class and subject are
// what the large sites answer, and their senders look up.
func bareNewline() *status.Error {
	return status.New(550, 6, 11, "Message has a bare <CR> or <LF>; lines must end with <CRLF>")
}

// lineRule holds content to a choice of Newlines. The zero value refuses.
type lineRule struct {
	newlines Newlines
	dots     bool // the client stuffs dots (DATA)
	cr       bool // a CR was held back: what follows tells whether it is bare
	lf       bool // a bare LF was the last octet
	scratch  []byte
}

// ruleFor is the rule for the content of env (nil: content that nobody wants).
// RFC 2045 sections 2.7 and 2.8 ask for lines with <CRLF> of everything but
// binary content, which BDAT may bring without them (RFC 3030 section 3).
func (s *session) ruleFor(env *envelope.Envelope) lineRule {
	if env != nil && env.Body == envelope.BodyBinary {
		return lineRule{newlines: AcceptBare}
	}
	return lineRule{newlines: s.newlines}
}

// next gives what becomes of p, valid until the next call; false when p breaks
// the rule.
func (l *lineRule) next(p []byte) ([]byte, bool) {
	if l.newlines == AcceptBare || len(p) == 0 {
		return p, true
	}
	held := l.cr
	if !l.lf && l.clean(p) {
		if l.newlines == RefuseBare {
			return p, true
		}
		return l.hold(held, p), true
	}
	if l.newlines == RefuseBare {
		return nil, false
	}
	return l.normalise(p), true
}

// end gives what was held back when nothing follows any more.
func (l *lineRule) end() ([]byte, bool) {
	switch {
	case l.newlines == AcceptBare || !l.cr:
		return nil, true
	case l.newlines == RefuseBare:
		return nil, false
	}
	return []byte{' '}, true
}

// clean reports whether every CR and LF of p belongs to a <CRLF>, but for a CR at
// its end, which is noted.
func (l *lineRule) clean(p []byte) bool {
	if l.cr {
		if p[0] != '\n' {
			return false
		}
		p = p[1:]
	}
	crs := bytes.Count(p, []byte{'\r'})
	last := len(p) > 0 && p[len(p)-1] == '\r'
	if last {
		crs--
	}
	for i := 0; ; crs-- {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			break
		}
		if i += n + 1; i < 2 || p[i-2] != '\r' {
			return false
		}
	}
	if crs != 0 {
		return false
	}
	l.cr = last
	return true
}

// hold gives out clean p with the CR that was held back before it, and without
// the one that is held back now.
func (l *lineRule) hold(held bool, p []byte) []byte {
	if l.cr {
		p = p[:len(p)-1]
	}
	if !held {
		return p
	}
	l.scratch = append(append(l.scratch[:0], '\r'), p...)
	return l.scratch
}

// normalise goes through p octet by octet. A dot that was stuffed behind a bare
// LF is taken away, as old senders mean it.
func (l *lineRule) normalise(p []byte) []byte {
	out := l.scratch[:0]
	for _, b := range p {
		if l.cr {
			l.cr = false
			if b == '\n' {
				out = append(out, '\r', '\n')
				continue
			}
			out = append(out, ' ')
		}
		if l.lf {
			l.lf = false
			if b == '.' && l.dots {
				continue
			}
		}
		switch b {
		case '\r':
			l.cr = true
		case '\n':
			l.lf = true
			out = append(out, '\r', '\n')
		default:
			out = append(out, b)
		}
	}
	l.scratch = out
	return out
}
