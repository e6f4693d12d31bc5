package imapd

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdList: RFC 9051 section 6.3.9, RFC 5258, RFC 5819, RFC 6154.
func (s *session) cmdList(p *imap.Parser) (string, error) {
	l := p.List()
	if p.Err() == nil {
		s.decodePatterns(p, &l)
	}
	if err := p.End(); err != nil {
		return "", err
	}
	if !l.Extended && l.Patterns[0] == "" { // the separator, please
		s.untagged(`LIST (\Noselect) "/" ""`)
		return "", nil
	}
	infos, err := s.names()
	if err != nil {
		return "", err
	}
	w := listing{s: s, req: &l, patterns: patternsOf(&l)}
	for i := range infos {
		w.consider(infos, i)
		s.pressure()
	}
	return "", nil
}

// cmdLsub: RFC 3501 section 6.3.9.
func (s *session) cmdLsub(p *imap.Parser) (string, error) {
	l := imap.List{Reference: p.AString()}
	p.SP()
	l.Patterns = []string{p.ListMailbox()}
	if p.Err() == nil {
		s.decodePatterns(p, &l)
	}
	if err := p.End(); err != nil {
		return "", err
	}
	if l.Patterns[0] == "" {
		s.untagged(`LSUB (\Noselect) "/" ""`)
		return "", nil
	}
	infos, err := s.names()
	if err != nil {
		return "", err
	}
	patterns := patternsOf(&l)
	for i := range infos {
		in := &infos[i]
		switch {
		case !matches(patterns, in.Name):
		case in.Subscribed:
			s.sendList("LSUB", attributes{}, in.Name, "")
		case strings.HasSuffix(patterns[0], "%") && hiddenDescendant(infos, i, patterns, subscribed):
			// A subscribed name below, which "%" keeps from being listed.
			s.sendList("LSUB", attributes{`\Noselect`}, in.Name, "")
		}
		s.pressure()
	}
	return "", nil
}

// names lists mailboxes and subscriptions, and the parents that only a
// subscription speaks of, as LSUB and RECURSIVEMATCH need them.
func (s *session) names() ([]mailbox.Info, error) {
	infos, err := s.acct.Mailboxes(s.ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(infos))
	for i := range infos {
		known[infos[i].Name] = true
	}
	for _, in := range infos {
		for i := 0; i < len(in.Name) && in.Subscribed && !in.Exists; i++ {
			if parent := in.Name[:i]; in.Name[i] == mailbox.Separator && !known[parent] {
				known[parent] = true
				infos = append(infos, mailbox.Info{Name: parent})
			}
		}
	}
	return infos, nil
}

func (s *session) decodePatterns(p *imap.Parser, l *imap.List) {
	decode := func(raw string) string {
		name, ok := imap.DecodeMailbox(raw, s.rev2)
		if !ok {
			p.Fail("The mailbox pattern is not valid")
		}
		return name
	}
	l.Reference = decode(l.Reference)
	for i := range l.Patterns {
		l.Patterns[i] = decode(l.Patterns[i])
	}
}

// patternsOf puts the reference before each pattern (RFC 9051 section 6.3.9), in
// the form that names have. In the extended form an empty pattern lists nothing.
func patternsOf(l *imap.List) []string {
	var out []string
	for _, pat := range l.Patterns {
		if pat == "" {
			continue
		}
		out = append(out, imap.CanonicalPattern(norm.NFC.String(l.Reference+pat), mailbox.Separator))
	}
	return out
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if imap.MatchPattern(p, name, mailbox.Separator) {
			return true
		}
		// INBOX has no case, also where a pattern spells only part of it.
		if name == "INBOX" && imap.MatchPattern(strings.ToUpper(p), name, mailbox.Separator) {
			return true
		}
	}
	return false
}

func subscribed(in *mailbox.Info) bool { return in.Subscribed }

// hiddenDescendant reports whether something below infos[i] is wanted but does
// not match the patterns itself.
func hiddenDescendant(infos []mailbox.Info, i int, patterns []string, wanted func(*mailbox.Info) bool) bool {
	prefix := infos[i].Name + string(mailbox.Separator)
	for j := range infos {
		in := &infos[j]
		if strings.HasPrefix(in.Name, prefix) && wanted(in) && !matches(patterns, in.Name) {
			return true
		}
	}
	return false
}

type listing struct {
	s        *session
	req      *imap.List
	patterns []string
}

// wanted applies the selection options (RFC 5258 section 3.1).
func (w *listing) wanted(in *mailbox.Info) bool {
	if w.req.Subscribed && !in.Subscribed {
		return false
	}
	if w.req.SpecialUse && in.SpecialUse == "" {
		return false
	}
	// Names that do not exist are listed as parents, or because they are
	// subscribed and that was asked for.
	return in.Exists || w.req.Subscribed || in.Children
}

// consider lists infos[i] when it should be.
func (w *listing) consider(infos []mailbox.Info, i int) {
	in := &infos[i]
	if !matches(w.patterns, in.Name) {
		return
	}
	wanted, childInfo := w.wanted(in), ""
	if w.req.RecursiveMatch && hiddenDescendant(infos, i, w.patterns, w.wanted) {
		childInfo = w.criteria()
	}
	if !wanted && childInfo == "" {
		return
	}
	w.s.sendList("LIST", w.attributes(in), in.Name, childInfo)
	if w.req.Status != 0 && in.Exists {
		// RFC 5819 section 2: a mailbox that cannot be asked has no STATUS.
		_ = w.s.sendStatus(in.Name, w.req.Status)
	}
}

// criteria is the CHILDINFO item (RFC 5258 section 3.5).
func (w *listing) criteria() string {
	var words []string
	if w.req.Subscribed {
		words = append(words, `"SUBSCRIBED"`)
	}
	if w.req.SpecialUse {
		words = append(words, `"SPECIAL-USE"`)
	}
	return ` ("CHILDINFO" (` + strings.Join(words, " ") + `))`
}

type attributes []string

func (w *listing) attributes(in *mailbox.Info) attributes {
	var a attributes
	if !in.Exists {
		if w.req.Extended || w.s.rev2 {
			a = append(a, `\NonExistent`)
		} else {
			a = append(a, `\Noselect`)
		}
	}
	if in.Children {
		a = append(a, `\HasChildren`)
	} else {
		a = append(a, `\HasNoChildren`)
	}
	if in.Subscribed && (w.req.Subscribed || w.req.ReturnSubscribed) {
		a = append(a, `\Subscribed`)
	}
	if in.SpecialUse != "" {
		a = append(a, in.SpecialUse)
	}
	return a
}

func (s *session) sendList(word string, a attributes, name, extended string) {
	b := append(s.buf(), "* "...)
	b = append(b, word...)
	b = append(b, " ("...)
	b = append(b, strings.Join(a, " ")...)
	b = append(b, `) "/" `...)
	b = imap.AppendMailbox(b, name, s.rev2)
	b = append(b, extended...)
	s.out = append(b, "\r\n"...)
}
