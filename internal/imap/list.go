package imap

import "strings"

// StatusItems says which counters STATUS asks for.
type StatusItems uint16

// The status items (RFC 9051 section 6.3.11 and extensions).
const (
	StatusMessages StatusItems = 1 << iota
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize
	StatusHighestModSeq
	StatusMailboxID
	StatusAppendLimit
)

var statusWords = map[string]StatusItems{
	"MESSAGES": StatusMessages, "RECENT": StatusRecent, "UIDNEXT": StatusUIDNext, "UIDVALIDITY": StatusUIDValidity,
	"UNSEEN": StatusUnseen, "DELETED": StatusDeleted, "SIZE": StatusSize, "HIGHESTMODSEQ": StatusHighestModSeq,
	"MAILBOXID": StatusMailboxID, "APPENDLIMIT": StatusAppendLimit,
}

// StatusItems reads "(item item ...)".
func (p *Parser) StatusItems() StatusItems {
	var items StatusItems
	p.Need('(')
	for p.err == nil {
		w := p.Keyword()
		it, ok := statusWords[w]
		if !ok {
			p.Fail("Unknown status item " + w)
		}
		items |= it
		if p.Take(')') {
			break
		}
		p.SP()
	}
	return items
}

// List is a LIST (RFC 9051 section 6.3.9).
type List struct {
	// Extended is set when selection options, return options or several
	// patterns were given (RFC 5258).
	Extended                                       bool
	Subscribed, Remote, RecursiveMatch, SpecialUse bool // selection
	Reference                                      string
	Patterns                                       []string
	ReturnSubscribed, ReturnChildren, ReturnUse    bool
	Status                                         StatusItems // 0: not asked for
}

// maxPatterns bounds the patterns of one LIST.
const maxPatterns = 100

// List reads the arguments of LIST.
func (p *Parser) List() List {
	var l List
	if p.Peek() == '(' {
		l.Extended = true
		p.options(func(w string) {
			switch w {
			case "SUBSCRIBED":
				l.Subscribed = true
			case "REMOTE":
				l.Remote = true
			case "RECURSIVEMATCH":
				l.RecursiveMatch = true
			case "SPECIAL-USE":
				l.SpecialUse = true
			default:
				p.Fail("Unknown LIST selection option " + w)
			}
		})
		// RFC 5258 section 3.1: it must come with another one than REMOTE.
		if l.RecursiveMatch && !l.Subscribed && !l.SpecialUse {
			p.Fail("RECURSIVEMATCH needs another selection option")
		}
		p.SP()
	}
	l.Reference = p.AString()
	p.SP()
	if p.Take('(') {
		l.Extended = true
		for p.err == nil {
			l.Patterns = append(l.Patterns, p.ListMailbox())
			if len(l.Patterns) > maxPatterns {
				p.Fail("Too many patterns")
			}
			if p.Take(')') {
				break
			}
			p.SP()
		}
	} else {
		l.Patterns = []string{p.ListMailbox()}
	}
	if p.takeSP() {
		l.Extended = true
		if !p.word("RETURN") {
			p.Fail("Expected RETURN")
		}
		p.SP()
		p.listReturn(&l)
	}
	return l
}

func (p *Parser) listReturn(l *List) {
	p.options(func(w string) {
		switch w {
		case "SUBSCRIBED":
			l.ReturnSubscribed = true
		case "CHILDREN":
			l.ReturnChildren = true
		case "SPECIAL-USE":
			l.ReturnUse = true
		case "STATUS": // RFC 5819
			p.SP()
			l.Status = p.StatusItems()
		default:
			p.Fail("Unknown LIST return option " + w)
		}
	})
}

// options reads "(word word ...)", which may be empty.
func (p *Parser) options(each func(word string)) {
	p.Need('(')
	if p.Take(')') {
		return
	}
	for p.err == nil {
		each(p.Keyword())
		if p.Take(')') {
			return
		}
		p.SP()
	}
}

// MatchPattern reports whether name matches a LIST pattern: "*" stands for
// anything, "%" for anything without sep (RFC 9051 section 6.3.9.1).
func MatchPattern(pattern, name string, sep byte) bool {
	p, n := 0, 0
	star, starName := -1, 0 // where to go on when the last "*" takes one byte more
	pct, pctName := -1, 0   // the same for "%"
	for {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case c == '*':
				p++
				star, starName, pct = p, n, -1
				continue
			case c == '%':
				p++
				pct, pctName = p, n
				continue
			case n < len(name) && c == name[n]:
				p++
				n++
				continue
			}
		} else if n == len(name) {
			return true
		}
		switch {
		case pct >= 0 && pctName < len(name) && name[pctName] != sep:
			pctName++
			p, n = pct, pctName
		case star >= 0 && starName < len(name):
			starName++
			p, n, pct = star, starName, -1
		default:
			return false
		}
	}
}

// CanonicalPattern gives the first level of a name or pattern its usual case
// when it is INBOX (RFC 9051 section 5.1).
func CanonicalPattern(s string, sep byte) string {
	first, rest := s, ""
	if i := strings.IndexByte(s, sep); i >= 0 {
		first, rest = s[:i], s[i:]
	}
	if strings.EqualFold(first, "INBOX") {
		return "INBOX" + rest
	}
	return s
}
