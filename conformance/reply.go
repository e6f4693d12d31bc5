package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// reply is one reply of a server.
type reply struct {
	code     string
	enhanced string   // of the first line; "" when there is none
	lines    []string // after code and separator
	raw      string
}

// text is the lines of a reply in one.
func (r *reply) text() string { return strings.Join(r.lines, "\n") }

func (r *reply) String() string { return fmt.Sprintf("%q", strings.TrimSuffix(r.raw, "\r\n")) }

// Bounds of a reply. A line has at most 512 octets (RFC 5321 section 4.5.3.1.5).
const (
	maxReplyLine  = 512
	maxReplyLines = 200
)

var (
	replyForm      = regexp.MustCompile(`^([2-5][0-5][0-9])(?:([ -])(.*))?$`)
	enhancedPrefix = regexp.MustCompile(`^([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)`)
)

var errNotReply = errors.New("not a reply")

// readReply reads a reply of the form that RFC 5321 section 4.2 asks for.
func readReply(r *bufio.Reader) (*reply, error) {
	out := new(reply)
	for len(out.lines) < maxReplyLines {
		line, err := readReplyLine(r)
		if err != nil {
			if out.raw != "" {
				return nil, fmt.Errorf("%w after %q", err, out.raw)
			}
			return nil, err
		}
		out.raw += line
		m := replyForm.FindStringSubmatch(strings.TrimSuffix(line, "\r\n"))
		switch {
		case m == nil:
			return nil, fmt.Errorf("%w: %q", errNotReply, line)
		case out.code == "":
			out.code = m[1]
		case out.code != m[1]:
			return nil, fmt.Errorf("%w: the lines have different codes: %q", errNotReply, out.raw)
		}
		out.lines = append(out.lines, m[3])
		if m[2] != "-" {
			if e := enhancedPrefix.FindStringSubmatch(out.lines[0]); e != nil {
				out.enhanced = e[1]
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: more than %d lines", errNotReply, maxReplyLines)
}

func readReplyLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine:
		return "", fmt.Errorf("%w: a line of over %d octets: %.60q", errNotReply, maxReplyLine, line)
	case err != nil && len(line) > 0:
		return "", fmt.Errorf("%w after %q", err, line)
	case err != nil:
		return "", err
	case !strings.HasSuffix(string(line), "\r\n"):
		return "", fmt.Errorf("%w: a line that does not end with CRLF: %q", errNotReply, line)
	}
	return string(line), nil
}

// checkForm holds a reply to what every reply has to be. hello tells that it may
// answer EHLO or be the greeting, which have no enhanced code.
func (r *reply) checkForm(promised, hello, utf8 bool) error {
	for _, line := range r.lines {
		for i := 0; i < len(line); i++ {
			if line[i] < ' ' && line[i] != '\t' || line[i] > '~' && !utf8 {
				return fmt.Errorf("an octet in a reply that is not text: %s", r)
			}
		}
	}
	if !promised || hello || r.code[0] == '3' {
		return nil
	}
	// RFC 2034 section 4.
	if r.enhanced == "" {
		return fmt.Errorf("no enhanced code: %s", r)
	}
	if r.enhanced[0] != r.code[0] {
		return fmt.Errorf("the enhanced code is of another class: %s", r)
	}
	for _, line := range r.lines {
		if !strings.HasPrefix(line, r.enhanced) {
			return fmt.Errorf("a line without its enhanced code: %s", r)
		}
	}
	return nil
}
