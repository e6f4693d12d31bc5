package imap

import (
	"bytes"
	"time"
)

// Append is an APPEND up to its message literal.
type Append struct {
	Mailbox string // as sent; see DecodeMailbox
	Flags   FlagList
	Date    time.Time // zero when not given
}

// AppendHead looks whether head, a command up to and including the announcement
// of a literal at its end, is an APPEND of which that literal is the message.
// ok is false when it is not (yet): then the literal belongs to another argument.
// fault is what is wrong with an APPEND before that literal.
func AppendHead(head []byte) (tag string, a Append, ok bool, fault error) {
	p := NewParser(head)
	tag = p.Tag()
	p.SP()
	if p.Keyword() != "APPEND" {
		return "", Append{}, false, nil
	}
	p.SP()
	a = p.AppendArgs()
	p.Take('~')
	if p.err != nil && p.AtEnd() { // the literal is where it stopped
		return "", Append{}, false, nil
	}
	// The announcement must be all that is left.
	if p.Peek() != '{' || bytes.IndexByte(head[p.i:], '}') != len(head)-p.i-1 {
		p.Fail("Expected the message as a literal")
		return "", Append{}, false, p.err
	}
	return tag, a, true, nil
}

// AppendArgs reads the arguments of APPEND up to the message.
func (p *Parser) AppendArgs() Append {
	a := Append{Mailbox: p.AString()}
	p.SP()
	if p.Peek() == '(' {
		a.Flags = p.FlagList()
		p.SP()
	}
	if p.Peek() == '"' {
		// The zero time says that there is no date; it is a date all the same.
		if a.Date = p.DateTime(); a.Date.IsZero() {
			a.Date = a.Date.Add(time.Nanosecond)
		}
		p.SP()
	}
	return a
}

// CommandStart reads the tag and the name of a command, "UID FETCH" as one name.
// name is "" when only the tag could be read; tag is "" when not even that.
func (p *Parser) CommandStart() (tag, name string) {
	tag = p.Tag()
	if p.err != nil {
		return "", ""
	}
	p.SP()
	name = p.Keyword()
	if name == "UID" {
		p.SP()
		name += " " + p.Keyword()
	}
	if p.err != nil {
		return tag, ""
	}
	return tag, name
}

// SelectParams reads the rest of SELECT after the mailbox; condstore is set by
// "(CONDSTORE)" (RFC 7162 section 3.1.8).
func (p *Parser) SelectParams() (condstore bool) {
	if !p.takeSP() {
		return false
	}
	p.options(func(w string) {
		if w != "CONDSTORE" {
			p.Fail("Unknown SELECT parameter " + w)
		}
		condstore = true
	})
	return condstore
}

// CreateParams reads the rest of CREATE after the mailbox: the special uses of
// "(USE (\Sent))" (RFC 6154 section 3).
func (p *Parser) CreateParams() (uses []string) {
	if !p.takeSP() {
		return nil
	}
	p.options(func(w string) {
		if w != "USE" {
			p.Fail("Unknown CREATE parameter " + w)
			return
		}
		p.SP()
		p.Need('(')
		if p.Take(')') {
			return
		}
		for p.err == nil {
			p.Need('\\')
			uses = append(uses, `\`+p.Atom())
			if len(uses) > maxFlags {
				p.Fail("Too many special uses")
			}
			if p.Take(')') {
				return
			}
			p.SP()
		}
	})
	return uses
}

// IDParams reads the argument of ID: the pairs, or nil for NIL (RFC 2971
// section 3.3: at most 30 pairs).
func (p *Parser) IDParams() [][2]string {
	if p.word("NIL") {
		return nil
	}
	var pairs [][2]string
	p.Need('(')
	if p.Take(')') {
		return nil
	}
	for p.err == nil {
		key := p.String()
		p.SP()
		value, _ := p.NString()
		pairs = append(pairs, [2]string{key, value})
		if len(pairs) > 30 {
			p.Fail("Too many ID fields")
		}
		if p.Take(')') {
			break
		}
		p.SP()
	}
	return pairs
}
