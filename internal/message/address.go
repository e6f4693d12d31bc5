package message

import "strings"

const maxAddresses = 10000 // of one field; more are dropped

// ParseAddressList reads the value of an address field (RFC 5322 section 3.4
// with the obsolete syntax of section 4.4) and takes the malformations of RFC
// 7103 section 7.1 as they were most likely meant. Groups become a GroupStart
// and a GroupEnd around their members. Names are unquoted, encoded words in them
// are left as they are. An address without a domain has an empty Host.
func ParseAddressList(raw string) []Address {
	return addressList(unfold(raw))
}

// addressList reads a value that is unfolded.
func addressList(s string) []Address {
	p := addressParser{s: s}
	p.list()
	return p.out
}

type addressParser struct {
	s     string
	out   []Address
	group bool

	// What is known to have no end, so that it is not looked for again.
	noQuote, noComment, noLiteral bool
}

// list cuts the value at commas, semicolons and colons that are not quoted.
func (p *addressParser) list() {
	start, i := 0, 0
	for i < len(p.s) && len(p.out) < maxAddresses {
		switch p.s[i] {
		case ',':
			p.address(p.s[start:i])
			start = i + 1
		case ';':
			p.address(p.s[start:i])
			p.endGroup()
			start = i + 1
		case ':':
			p.endGroup()
			p.group = true
			name, comment := phrase(p.s[start:i])
			if name == "" {
				name = comment
			}
			p.out = append(p.out, Address{Mailbox: name, Group: GroupStart})
			start = i + 1
		default:
			i += p.skip(i)
			continue
		}
		i++
	}
	if i >= len(p.s) {
		p.address(p.s[start:])
	}
	p.endGroup()
}

func (p *addressParser) endGroup() {
	if p.group {
		p.group = false
		p.out = append(p.out, Address{Group: GroupEnd})
	}
}

// skip returns the length of the token at i: a quoted-string, a comment, a
// domain literal, an address in angle brackets, or one byte.
func (p *addressParser) skip(i int) int {
	s := p.s[i:]
	switch s[0] {
	case '"':
		if !p.noQuote {
			if _, n, ok := unquote(s); ok {
				return n
			}
			p.noQuote = true
		}
	case '(':
		if !p.noComment {
			if n := commentEnd(s); n > 0 {
				return n
			}
			p.noComment = true
		}
	case '[':
		if !p.noLiteral {
			if n := strings.IndexByte(s, ']'); n > 0 {
				return n + 1
			}
			p.noLiteral = true
		}
	case '<':
		return p.skipAngle(i)
	}
	return 1
}

// skipAngle returns the length of an angle-addr. Without a ">" it ends before
// the next comma (RFC 7103 section 7.1.3); commas and colons before an address
// are a route (RFC 5322 section 4.4).
func (p *addressParser) skipAngle(i int) int {
	s := p.s[i:]
	route := strings.HasPrefix(strings.TrimLeft(s[1:], " \t<"), "@")
	for n := 1; n < len(s); {
		switch s[n] {
		case '>':
			return n + 1
		case ',', ';':
			if !route {
				return n
			}
			n++
		case '"', '(', '[':
			n += p.skip(i + n)
		case ':':
			route = false
			n++
		default:
			n++
		}
	}
	return len(s)
}

// address reads one address, which may be empty.
func (p *addressParser) address(s string) {
	s = strings.Trim(s, " \t")
	if s == "" {
		return
	}
	open := angle(s)
	if open < 0 {
		text, comment := stripComments(s)
		name, local, host := addrSpec(text)
		if name == "" {
			name = comment
		}
		if local != "" || host != "" || name != "" {
			p.out = append(p.out, Address{Name: name, Mailbox: local, Host: host})
		}
		return
	}
	name, comment := phrase(s[:open])
	spec := strings.TrimLeft(s[open:], "< \t")
	end := angleEnd(spec)
	after := strings.TrimLeft(spec[end:], "> \t")
	if name == "" && comment == "" {
		name, comment = phrase(after) // "<a@b> Name", "<a@b> (Name)"
	}
	if name == "" {
		name = comment
	}
	text, _ := stripComments(spec[:end])
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "@") { // RFC 5322 section 4.4: obs-route
		if i := strings.IndexByte(text, ':'); i >= 0 {
			text = text[i+1:]
		}
	}
	more, local, host := addrSpec(text)
	if name == "" {
		name = more
	}
	if local == "" && host == "" && name == "" {
		return
	}
	p.out = append(p.out, Address{Name: name, Mailbox: local, Host: host})
}
