package imap

import (
	"strings"
	"time"
)

// SearchOp is what a search key asks; the comments name the fields it uses.
type SearchOp uint8

// The search keys (RFC 9051 section 6.4.4, RFC 3501, 5032, 7162, 8474, 8514).
const (
	SearchAll     SearchOp = iota
	SearchAnd              // Sub
	SearchOr               // Sub, two
	SearchNot              // Sub[0]
	SearchSeq              // Set
	SearchUID              // Set
	SearchFlag             // Text: a system flag, in its usual case
	SearchKeyword          // Text
	SearchRecent
	SearchHeader // Field, Text
	SearchFrom   // Text; so the next six
	SearchTo
	SearchCc
	SearchBcc
	SearchSubject
	SearchBody
	SearchText
	SearchBefore // Date; so the next eight
	SearchOn
	SearchSince
	SearchSentBefore
	SearchSentOn
	SearchSentSince
	SearchSavedBefore
	SearchSavedOn
	SearchSavedSince
	SearchLarger  // Number
	SearchSmaller // Number
	SearchModSeq  // Number
	SearchOlder   // Number: seconds
	SearchYounger // Number: seconds
	SearchEmailID // Text
	SearchThreadID
)

// SearchKey is a search as a tree.
type SearchKey struct {
	Op     SearchOp
	Sub    []SearchKey
	Set    NumSet
	Field  string
	Text   string // in the request's charset
	Number uint64
	Date   time.Time
}

// Search is a SEARCH or UID SEARCH.
type Search struct {
	Charset string // upper case; "" when not given
	// Extended is set when there was a RETURN; the others say which (RFC 4731,
	// RFC 5182). "RETURN ()" is All.
	Extended              bool
	Min, Max, All, Count  bool
	Save                  bool
	Keys                  []SearchKey // all of them must match
	UsesModSeq, UsesSaved bool        // a MODSEQ key, or "$", is among the keys
}

// maxDepth bounds nesting, maxKeys the number of keys of a search.
const (
	maxDepth = 100
	maxKeys  = 10000
)

type searchParser struct {
	*Parser
	out  *Search
	keys int
}

// Search reads the arguments of SEARCH.
func (p *Parser) Search() Search {
	var s Search
	if p.word("RETURN") {
		s.Extended = true
		p.SP()
		p.searchReturn(&s)
		p.SP()
	}
	if p.word("CHARSET") {
		p.SP()
		s.Charset = strings.ToUpper(p.AString())
		p.SP()
	}
	sp := searchParser{Parser: p, out: &s}
	for p.err == nil {
		s.Keys = append(s.Keys, sp.key(0))
		if !p.takeSP() {
			break
		}
	}
	return s
}

func (p *Parser) searchReturn(s *Search) {
	p.Need('(')
	if p.Take(')') {
		s.All = true
		return
	}
	for p.err == nil {
		switch w := p.Keyword(); w {
		case "MIN":
			s.Min = true
		case "MAX":
			s.Max = true
		case "ALL":
			s.All = true
		case "COUNT":
			s.Count = true
		case "SAVE":
			s.Save = true
		default:
			p.Fail("Unknown search return option " + w)
		}
		if p.Take(')') {
			return
		}
		p.SP()
	}
}

func (p *searchParser) key(depth int) SearchKey {
	if depth > maxDepth {
		p.Fail("Search keys are nested too deep")
	}
	if p.keys++; p.keys > maxKeys {
		p.Fail("Too many search keys")
	}
	switch c := p.Peek(); {
	case c == '(':
		return p.list(depth)
	case c >= '0' && c <= '9' || c == '*' || c == '$':
		return p.set(SearchSeq)
	}
	word := p.Keyword()
	if k, ok := flagKeys[word]; ok {
		return k
	}
	if op, ok := textKeys[word]; ok {
		p.SP()
		return SearchKey{Op: op, Text: p.AString()}
	}
	if op, ok := dateKeys[word]; ok {
		p.SP()
		return SearchKey{Op: op, Date: p.Date()}
	}
	return p.other(word, depth)
}

// list reads "(key key ...)", which means all of them.
func (p *searchParser) list(depth int) SearchKey {
	k := SearchKey{Op: SearchAnd}
	p.Need('(')
	for p.err == nil {
		k.Sub = append(k.Sub, p.key(depth+1))
		if p.Take(')') {
			break
		}
		p.SP()
	}
	return k
}

func (p *searchParser) set(op SearchOp) SearchKey {
	k := SearchKey{Op: op, Set: p.NumSet()}
	p.out.UsesSaved = p.out.UsesSaved || k.Set.Saved
	return k
}

func (p *searchParser) other(word string, depth int) SearchKey {
	switch word {
	case "NOT":
		p.SP()
		return SearchKey{Op: SearchNot, Sub: []SearchKey{p.key(depth + 1)}}
	case "OR":
		p.SP()
		a := p.key(depth + 1)
		p.SP()
		return SearchKey{Op: SearchOr, Sub: []SearchKey{a, p.key(depth + 1)}}
	case "UID":
		p.SP()
		return p.set(SearchUID)
	case "KEYWORD", "UNKEYWORD":
		p.SP()
		k := SearchKey{Op: SearchKeyword, Text: p.Atom()}
		if word == "UNKEYWORD" {
			return not(k)
		}
		return k
	case "HEADER":
		p.SP()
		k := SearchKey{Op: SearchHeader, Field: p.AString()}
		p.SP()
		k.Text = p.AString()
		return k
	case "LARGER", "SMALLER":
		p.SP()
		op := SearchLarger
		if word == "SMALLER" {
			op = SearchSmaller
		}
		return SearchKey{Op: op, Number: p.Number64()}
	case "OLDER", "YOUNGER": // RFC 5032 section 3: a number above zero
		p.SP()
		op := SearchOlder
		if word == "YOUNGER" {
			op = SearchYounger
		}
		return SearchKey{Op: op, Number: uint64(p.NZNumber())}
	case "MODSEQ":
		p.SP()
		return p.modseq()
	}
	p.Fail("Unknown search key " + word)
	return SearchKey{}
}

// modseq reads [entry-name entry-type] number (RFC 7162 section 3.1.5). We keep
// one modseq per message, so the entry does not matter.
func (p *searchParser) modseq() SearchKey {
	p.out.UsesModSeq = true
	if p.Peek() == '"' {
		p.quoted()
		p.SP()
		switch w := p.Keyword(); w {
		case "PRIV", "SHARED", "ALL":
		default:
			p.Fail("Unknown entry type " + w)
		}
		p.SP()
	}
	return SearchKey{Op: SearchModSeq, Number: p.Number64()}
}

func not(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Sub: []SearchKey{k}} }

func flag(name string) SearchKey { return SearchKey{Op: SearchFlag, Text: name} }

var flagKeys = map[string]SearchKey{
	"ALL":      {Op: SearchAll},
	"ANSWERED": flag(`\Answered`), "UNANSWERED": not(flag(`\Answered`)),
	"DELETED": flag(`\Deleted`), "UNDELETED": not(flag(`\Deleted`)),
	"DRAFT": flag(`\Draft`), "UNDRAFT": not(flag(`\Draft`)),
	"FLAGGED": flag(`\Flagged`), "UNFLAGGED": not(flag(`\Flagged`)),
	"SEEN": flag(`\Seen`), "UNSEEN": not(flag(`\Seen`)),
	"RECENT":            {Op: SearchRecent},
	"OLD":               not(SearchKey{Op: SearchRecent}),
	"NEW":               {Op: SearchAnd, Sub: []SearchKey{{Op: SearchRecent}, not(flag(`\Seen`))}},
	"SAVEDATESUPPORTED": {Op: SearchAll},
}

var textKeys = map[string]SearchOp{
	"FROM": SearchFrom, "TO": SearchTo, "CC": SearchCc, "BCC": SearchBcc, "SUBJECT": SearchSubject,
	"BODY": SearchBody, "TEXT": SearchText, "EMAILID": SearchEmailID, "THREADID": SearchThreadID,
}

var dateKeys = map[string]SearchOp{
	"BEFORE": SearchBefore, "ON": SearchOn, "SINCE": SearchSince,
	"SENTBEFORE": SearchSentBefore, "SENTON": SearchSentOn, "SENTSINCE": SearchSentSince,
	"SAVEDBEFORE": SearchSavedBefore, "SAVEDON": SearchSavedOn, "SAVEDSINCE": SearchSavedSince,
}
