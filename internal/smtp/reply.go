package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"posthouse/internal/status"
	"posthouse/internal/wire"
)

// Bounds of a reply that ReadReply takes. Peers write lines of far more than the
// 512 octets of RFC 5321 section 4.5.3.1.5.
const (
	maxReplyLine  = 4 << 10
	maxReplyLines = 200
	maxReplySize  = 32 << 10
)

// ErrReply means that what came is not an SMTP reply.
var ErrReply = errors.New("smtp: not an SMTP reply")

// ErrReplyTooLong means that a reply has more text than ReadReply takes. What follows
// on the connection may be the rest of it.
var ErrReplyTooLong = fmt.Errorf("%w: too long", ErrReply)

// Reply is a server's answer (RFC 5321 section 4.2).
type Reply struct {
	Code     int             // 200..599
	Enhanced status.Enhanced // zero when the reply has none
	Lines    []string        // text without the codes; printable
}

// NewReply is a reply of one line.
func NewReply(code int, enhanced status.Enhanced, text string) Reply {
	return Reply{Code: code, Enhanced: enhanced, Lines: []string{text}}
}

// ErrorReply is the reply for a refusal.
func ErrorReply(e *status.Error) Reply { return NewReply(e.Code, e.Enhanced, e.Text) }

// Positive reports whether the code is 2yz or 3yz.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Text is the lines as one.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

// String is the reply on one line: "550 5.1.1 No such user here".
func (r Reply) String() string {
	s := strconv.Itoa(r.Code)
	if !r.Enhanced.IsZero() {
		s += " " + r.Enhanced.String()
	}
	if text := printable(r.Text()); text != "" {
		s += " " + text
	}
	return s
}

// Append adds the reply to b as it goes over the wire. The enhanced code stands
// on every line (RFC 2034 section 4). Characters that would break a line become
// spaces.
func (r Reply) Append(b []byte) []byte {
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, line := range lines {
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if i < len(lines)-1 {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if !r.Enhanced.IsZero() {
			b = append(b, r.Enhanced.String()...)
			b = append(b, ' ')
		}
		b = append(b, printable(line)...)
		b = append(b, '\r', '\n')
	}
	return b
}

// ReadReply reads one reply, of many lines perhaps, within the bounds above.
// Errors are those of the connection, or wrap ErrReply. With ErrReplyTooLong comes
// the reply as far as it was read, its code included (RFC 5321 section 4.2.1: the
// text need not be looked at).
func ReadReply(c *wire.Conn) (Reply, error) {
	var r Reply
	size := 0
	for n := 0; n < maxReplyLines; n++ {
		line, err := c.ReadLine(maxReplyLine)
		tooLong := errors.Is(err, wire.ErrLineTooLong) || errors.Is(err, wire.ErrFlood)
		if err != nil && !tooLong {
			return Reply{}, err
		}
		code, text, last, err := parseReplyLine(line)
		if err != nil {
			return Reply{}, err
		}
		if n > 0 && code != r.Code {
			return Reply{}, fmt.Errorf("%w: codes %d and %d in one", ErrReply, r.Code, code)
		}
		if size += len(line); tooLong || size > maxReplySize {
			if n == 0 {
				r.Code = code
				r.add(text)
			}
			return r, ErrReplyTooLong
		}
		r.Code = code
		r.add(text)
		if last {
			return r, nil
		}
	}
	return r, ErrReplyTooLong
}

// ParseReply reads a reply from a text of one or more lines. Errors wrap ErrReply.
func ParseReply(s string) (Reply, error) {
	var r Reply
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, line := range lines {
		code, text, last, err := parseReplyLine([]byte(strings.TrimSpace(line)))
		if err != nil {
			return Reply{}, err
		}
		if i > 0 && code != r.Code || last != (i == len(lines)-1) {
			return Reply{}, fmt.Errorf("%w: lines that do not belong together", ErrReply)
		}
		r.Code = code
		r.add(text)
	}
	return r, nil
}

func parseReplyLine(line []byte) (code int, text string, last bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, fmt.Errorf("%w: %.60q", ErrReply, line)
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3:
		return code, "", true, nil
	case line[3] == ' ' || line[3] == '-':
		return code, printable(string(line[4:])), line[3] == ' ', nil
	}
	return 0, "", false, fmt.Errorf("%w: %.60q", ErrReply, line)
}

// add takes a line of text; the enhanced code comes from the first line that
// has one and is cut off from every line that repeats it.
func (r *Reply) add(text string) {
	if e, rest, ok := cutEnhanced(text); ok && int(e.Class) == r.Code/100 {
		if r.Enhanced.IsZero() {
			r.Enhanced = e
		}
		if e == r.Enhanced {
			text = rest
		}
	}
	r.Lines = append(r.Lines, text)
}

// cutEnhanced parses "5.1.1 text" (RFC 3463 section 2).
func cutEnhanced(s string) (e status.Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || strings.IndexByte("245", parts[0][0]) < 0 {
		return status.Enhanced{}, "", false
	}
	var n [3]uint16
	for i, part := range parts {
		if part == "" || len(part) > 3 {
			return status.Enhanced{}, "", false
		}
		for j := 0; j < len(part); j++ {
			if !isDigit(part[j]) {
				return status.Enhanced{}, "", false
			}
			n[i] = n[i]*10 + uint16(part[j]-'0')
		}
	}
	return status.Enhanced{Class: n[0], Subject: n[1], Detail: n[2]}, strings.TrimLeft(rest, " "), true
}

// printable makes s fit for one line of UTF-8 text.
func printable(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
