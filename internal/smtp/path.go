package smtp

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// ParsePath parses a forward-path "<...>" at the start of s and returns what
// follows it. It takes the null path "<>" (the zero Address), a source route
// (dropped, RFC 5321 appendix C) and "<postmaster>" without a domain (section
// 4.1.1.3), which are for the caller to judge. Without allowUTF8 anything but
// ASCII is ErrNeedsUTF8; other errors wrap ErrAddress or ErrTooLong.
func ParsePath(s string, allowUTF8 bool) (a Address, rest string, err error) {
	return parsePath(s, allowUTF8, MaxLocal)
}

// ParseReversePath is ParsePath for MAIL. Its local part is bounded by the path
// only: return paths made by machines are often longer than 64 octets, and the
// limits of section 4.5.3.1 are what must be taken at least.
func ParseReversePath(s string, allowUTF8 bool) (a Address, rest string, err error) {
	return parsePath(s, allowUTF8, MaxPath)
}

func parsePath(s string, allowUTF8 bool, maxLocal int) (Address, string, error) {
	p := pathParser{in: s, utf8: allowUTF8, maxLocal: maxLocal}
	if !p.take('<') {
		return Address{}, "", fmt.Errorf("%w: no angle bracket", ErrAddress)
	}
	if p.take('>') {
		return Address{}, s[p.pos:], nil
	}
	if err := p.route(); err != nil {
		return Address{}, "", err
	}
	a, err := p.pathMailbox()
	if err != nil {
		return Address{}, "", err
	}
	if !p.take('>') {
		return Address{}, "", fmt.Errorf("%w: no closing angle bracket", ErrAddress)
	}
	if p.pos > MaxPath {
		return Address{}, "", fmt.Errorf("%w: path over %d octets", ErrTooLong, MaxPath)
	}
	return a, s[p.pos:], nil
}

// pathParser walks over in; pos is the next octet.
type pathParser struct {
	in       string
	pos      int
	utf8     bool
	maxLocal int
}

func (p *pathParser) peek() byte {
	if p.pos < len(p.in) {
		return p.in[p.pos]
	}
	return 0
}

func (p *pathParser) take(c byte) bool {
	if p.pos < len(p.in) && p.in[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// route skips "@one,@two:" (RFC 5321 section 4.1.2, A-d-l).
func (p *pathParser) route() error {
	if p.peek() != '@' {
		return nil
	}
	for {
		if !p.take('@') {
			return fmt.Errorf("%w: bad source route", ErrAddress)
		}
		if _, err := p.domain(); err != nil {
			return err
		}
		if p.take(':') {
			return nil
		}
		if !p.take(',') {
			return fmt.Errorf("%w: bad source route", ErrAddress)
		}
	}
}

// pathMailbox is a mailbox, or "postmaster" alone.
func (p *pathParser) pathMailbox() (Address, error) {
	const postmaster = "postmaster"
	if end := p.pos + len(postmaster); end < len(p.in) && p.in[end] == '>' && strings.EqualFold(p.in[p.pos:end], postmaster) {
		a := Address{Local: p.in[p.pos:end]}
		p.pos = end
		return a, nil
	}
	return p.mailbox()
}

func (p *pathParser) mailbox() (Address, error) {
	local, err := p.local()
	if err != nil {
		return Address{}, err
	}
	if !p.take('@') {
		if local == "" {
			return Address{}, fmt.Errorf("%w: no local part", ErrAddress)
		}
		return Address{}, fmt.Errorf("%w: no domain", ErrAddress)
	}
	domain, err := p.domain()
	if err != nil {
		return Address{}, err
	}
	return Address{Local: local, Domain: domain}, nil
}

func (p *pathParser) local() (string, error) {
	var local string
	var err error
	if p.peek() == '"' {
		local, err = p.quoted()
	} else {
		start := p.pos
		for p.pos < len(p.in) && (p.in[p.pos] == '.' || isAtext(p.in[p.pos])) {
			p.pos++
		}
		local = p.in[start:p.pos]
		if !isDotString(local) {
			err = fmt.Errorf("%w: bad local part %q", ErrAddress, local)
		}
	}
	if err != nil {
		return "", err
	}
	if len(local) > p.maxLocal {
		return "", fmt.Errorf("%w: local part over %d octets", ErrTooLong, p.maxLocal)
	}
	return local, p.checkUTF8(local)
}

// quoted reads a Quoted-string and undoes its quoting.
func (p *pathParser) quoted() (string, error) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.in); p.pos++ {
		c := p.in[p.pos]
		switch {
		case c == '"':
			p.pos++
			if b.Len() == 0 {
				return "", fmt.Errorf("%w: empty local part", ErrAddress)
			}
			return b.String(), nil
		case c == '\\' && p.pos+1 < len(p.in):
			p.pos++
			c = p.in[p.pos]
		}
		if c < ' ' || c == 0x7f {
			return "", fmt.Errorf("%w: control character in quotes", ErrAddress)
		}
		b.WriteByte(c)
	}
	return "", fmt.Errorf("%w: no closing quote", ErrAddress)
}

// domain reads a domain name or an address literal.
func (p *pathParser) domain() (string, error) {
	if p.peek() == '[' {
		return p.literal()
	}
	start := p.pos
	for p.pos < len(p.in) && isDomainByte(p.in[p.pos]) {
		p.pos++
	}
	domain := p.in[start:p.pos]
	if len(domain) > MaxDomain {
		return "", fmt.Errorf("%w: domain over %d octets", ErrTooLong, MaxDomain)
	}
	if err := p.checkUTF8(domain); err != nil {
		return "", err
	}
	if !ValidDomain(domain) {
		return "", fmt.Errorf("%w: bad domain %q", ErrAddress, domain)
	}
	return domain, nil
}

// literal reads an address literal (RFC 5321 section 4.1.3). No tags but
// "IPv6:" are registered.
func (p *pathParser) literal() (string, error) {
	end := strings.IndexByte(p.in[p.pos:], ']')
	if end < 0 {
		return "", fmt.Errorf("%w: no closing bracket", ErrAddress)
	}
	literal := p.in[p.pos : p.pos+end+1]
	if _, ok := ParseLiteral(literal); !ok {
		return "", fmt.Errorf("%w: bad address literal", ErrAddress)
	}
	p.pos += end + 1
	return literal, nil
}

func (p *pathParser) checkUTF8(s string) error {
	switch {
	case isASCII(s):
		return nil
	case !p.utf8:
		return ErrNeedsUTF8
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: not UTF-8", ErrAddress)
	}
	return nil
}

// ParseLiteral gives the address inside "[192.0.2.1]" or "[IPv6:2001:db8::1]"
// (RFC 5321 section 4.1.3).
func ParseLiteral(s string) (netip.Addr, bool) {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return netip.Addr{}, false
	}
	s = s[1 : len(s)-1]
	const tag = "IPv6:"
	if len(s) > len(tag) && strings.EqualFold(s[:len(tag)], tag) {
		addr, err := netip.ParseAddr(s[len(tag):])
		return addr, err == nil && addr.Is6() && addr.Zone() == ""
	}
	addr, err := netip.ParseAddr(s)
	return addr, err == nil && addr.Is4()
}
