package imap

import "strings"

// FlagList is flags as a client named them.
type FlagList struct {
	System   []string // in their usual case, `\Seen`; \Recent is left out
	Keywords []string // as given, each once (without case)
}

// maxFlags bounds a flag list.
const maxFlags = 200

var systemFlags = map[string]string{
	"SEEN": `\Seen`, "ANSWERED": `\Answered`, "FLAGGED": `\Flagged`, "DELETED": `\Deleted`, "DRAFT": `\Draft`,
	"RECENT": "",
}

// FlagList reads "(flag flag ...)".
func (p *Parser) FlagList() FlagList {
	var l FlagList
	p.Need('(')
	if p.Take(')') {
		return l
	}
	for p.err == nil {
		p.flag(&l)
		if p.Take(')') {
			break
		}
		p.SP()
	}
	return l
}

// flag reads one flag into l. Unknown system flags are an error (RFC 9051
// section 2.3.2: they are not for clients to make).
func (p *Parser) flag(l *FlagList) {
	if p.Take('\\') {
		name, ok := systemFlags[p.Keyword()]
		if !ok {
			p.Fail("Unknown system flag")
		}
		if name != "" {
			l.System = append(l.System, name)
		}
	} else {
		name := p.Atom()
		for _, k := range l.Keywords {
			if strings.EqualFold(k, name) {
				return
			}
		}
		l.Keywords = append(l.Keywords, name)
	}
	if len(l.System)+len(l.Keywords) > maxFlags {
		p.Fail("Too many flags")
	}
}

// StoreOp is what STORE does with the flags.
type StoreOp uint8

// The three operations of STORE.
const (
	StoreSet StoreOp = iota
	StoreAdd
	StoreRemove
)

// Store is a STORE or UID STORE.
type Store struct {
	Set               NumSet
	UnchangedSince    uint64 // valid if HasUnchangedSince (RFC 7162 section 3.1.3)
	HasUnchangedSince bool
	Op                StoreOp
	Silent            bool
	Flags             FlagList
}

// Store reads the arguments of STORE.
func (p *Parser) Store() Store {
	s := Store{Set: p.NumSet()}
	p.SP()
	if p.Take('(') {
		if p.Keyword() != "UNCHANGEDSINCE" {
			p.Fail("Unknown STORE modifier")
		}
		p.SP()
		s.UnchangedSince, s.HasUnchangedSince = p.Number64(), true
		p.Need(')')
		p.SP()
	}
	switch {
	case p.Take('+'):
		s.Op = StoreAdd
	case p.Take('-'):
		s.Op = StoreRemove
	}
	switch p.Keyword() {
	case "FLAGS":
	case "FLAGS.SILENT":
		s.Silent = true
	default:
		p.Fail("Expected FLAGS or FLAGS.SILENT")
	}
	p.SP()
	if p.Peek() == '(' {
		s.Flags = p.FlagList()
		return s
	}
	for p.err == nil { // the parentheses may be missing
		p.flag(&s.Flags)
		if !p.takeSP() {
			break
		}
	}
	return s
}
