package imap

import (
	"strings"
	"time"
)

const (
	dateLayout     = "2-Jan-2006"
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
)

// Date reads a date of SEARCH, quoted or not: midnight UTC of that day.
func (p *Parser) Date() time.Time {
	var s string
	if p.Peek() == '"' {
		s = p.quoted()
	} else {
		s = p.Atom()
	}
	if p.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateLayout, strings.TrimSpace(s))
	if err != nil {
		p.Fail("Expected a date like 1-Feb-2024")
	}
	return t
}

// DateTime reads the quoted date-time of APPEND.
func (p *Parser) DateTime() time.Time {
	s := p.quoted()
	if p.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(dateTimeLayout, s)
	if err != nil {
		p.Fail(`Expected a date and time like "01-Feb-2024 10:20:30 +0100"`)
	}
	return t
}

// AppendDateTime writes Unix seconds as a quoted date-time in UTC. Years
// outside 0000..9999 cannot be written; the nearest that can is.
func AppendDateTime(b []byte, unix int64) []byte {
	const first, last = -62167219200, 253402300799
	t := time.Unix(min(max(unix, first), last), 0).UTC()
	b = append(b, '"')
	b = t.AppendFormat(b, "02-Jan-2006 15:04:05 -0700")
	return append(b, '"')
}
