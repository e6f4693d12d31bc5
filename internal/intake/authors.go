package intake

import (
	"bytes"
	"context"
	"strings"

	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// judgeAuthors refuses submitted mail whose From fields name anybody but the account
// (RFC 6409 section 6.1), or would to programs that read them otherwise than we do.
func (t *Transfer) judgeAuthors(ctx context.Context) error {
	if len(t.head) >= maxHead {
		return status.New(552, 3, 4, "The header is too long")
	}
	if bareCR(t.head) {
		return status.New(550, 6, 11, "The header has a CR without LF, which some programs take for the end of a line")
	}
	for _, v := range message.Header(t.head).All("From") {
		if ambiguous(v) {
			return status.New(550, 6, 0, "The From field has more than one address where one may be")
		}
		for _, a := range message.ParseAddressList(v) {
			if a.Group != message.GroupNone {
				continue
			}
			own, err := t.in.opt.Directory.MaySend(ctx, t.env.Origin.Account, smtp.Address{Local: a.Mailbox, Domain: a.Host})
			if err != nil {
				return status.Internal(err)
			}
			if !own {
				return status.New(550, 7, 1, "The From field names an address that is not yours to use")
			}
		}
	}
	return nil
}

func bareCR(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\r')
		switch {
		case i < 0:
			return false
		case i+1 == len(b) || b[i+1] != '\n':
			return true
		}
		b = b[i+2:]
	}
}

// ambiguous reports whether a mailbox in a list of them (RFC 5322 section 3.4) has
// something in angle brackets twice: of "a <b> <c>" some programs take the first for
// the address, others the last.
func ambiguous(list string) bool {
	comment, quoted, angle := 0, false, false
	taken := false // the mailbox has had its angle brackets
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\':
			i++
		case quoted:
			quoted = c != '"'
		case c == '(':
			comment++
		case comment > 0:
			if c == ')' {
				comment--
			}
		case c == '"':
			quoted = true
		case c == '<':
			if taken {
				return true
			}
			angle, taken = true, true
		case c == '>':
			angle = false
		case !angle && strings.IndexByte(",:;", c) >= 0:
			taken = false
		}
	}
	return false
}
