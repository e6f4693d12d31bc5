package smtp

import (
	"fmt"
	"strings"
)

// Lookup is what VRFY and EXPN ask for.
type Lookup struct {
	Address Address // Domain is "" when only a user's name was given
	UTF8    bool    // the reply may be in UTF-8 (RFC 6531 section 3.7.4.2)
}

// ParseLookup parses the argument of VRFY and EXPN: an address, in angle
// brackets or not, or a user's name (RFC 5321 sections 3.5.1 and 4.1.1.6), with
// SMTPUTF8 perhaps. Errors wrap ErrAddress or ErrTooLong.
func ParseLookup(arg string) (Lookup, error) {
	var l Lookup
	const flag = "SMTPUTF8"
	if at := len(arg) - len(flag); at > 0 && (arg[at-1] == ' ' || arg[at-1] == '\t') && strings.EqualFold(arg[at:], flag) {
		l.UTF8, arg = true, strings.TrimRight(arg[:at], " \t")
	}
	if strings.HasPrefix(arg, "<") && strings.HasSuffix(arg, ">") {
		arg = arg[1 : len(arg)-1]
	}
	p := pathParser{in: arg, utf8: true, maxLocal: MaxLocal}
	local, err := p.local()
	if err != nil {
		return Lookup{}, err
	}
	if p.pos == len(arg) {
		l.Address = Address{Local: local}
		return l, nil
	}
	p.pos = 0
	if l.Address, err = p.mailbox(); err != nil {
		return Lookup{}, err
	}
	if p.pos != len(arg) {
		return Lookup{}, fmt.Errorf("%w: unexpected %q", ErrAddress, arg[p.pos:])
	}
	return l, nil
}
