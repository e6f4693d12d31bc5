package imapd

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// compiler turns search keys into a mailbox.Criterion. Sequence numbers become
// UIDs, so that the search may run on a newer snapshot than the client's.
type compiler struct {
	s       *session
	charset string
	looks   int // keys for which every message was looked at
	ranges  int // of UIDs, in all sets together
}

// Bounds of what the keys of one search make. A set of a few bytes, as 1:*, is half
// as many ranges as there are messages when every other one is gone.
const (
	maxLooks  = 100
	maxRanges = 1 << 20
)

// errBadCharset lists the charsets that a client may have meant (RFC 9051 section
// 7.1).
var errBadCharset = &no{"[BADCHARSET (" + strings.Join(message.UsualCharsets(), " ") + ")] Unknown charset"}

// errBigSearch is RFC 5530's LIMIT.
var errBigSearch = &no{"[LIMIT] Too many sets and ages in one search"}

// nothing matches no message.
func nothing() *mailbox.Criterion { return negate(&mailbox.Criterion{Kind: mailbox.MatchAll}) }

func negate(c *mailbox.Criterion) *mailbox.Criterion {
	return &mailbox.Criterion{Kind: mailbox.MatchNot, Sub: []*mailbox.Criterion{c}}
}

func (c *compiler) all(keys []imap.SearchKey) (*mailbox.Criterion, error) {
	if c.charset != "" && !message.KnownCharset(c.charset) {
		return nil, errBadCharset
	}
	if len(keys) == 1 {
		return c.key(&keys[0])
	}
	return c.sub(mailbox.MatchAnd, keys)
}

func (c *compiler) sub(kind mailbox.MatchKind, keys []imap.SearchKey) (*mailbox.Criterion, error) {
	out := &mailbox.Criterion{Kind: kind}
	for i := range keys {
		k, err := c.key(&keys[i])
		if err != nil {
			return nil, err
		}
		out.Sub = append(out.Sub, k)
	}
	return out, nil
}

var searchTexts = map[imap.SearchOp]mailbox.MatchKind{
	imap.SearchHeader: mailbox.MatchHeader, imap.SearchFrom: mailbox.MatchFrom, imap.SearchTo: mailbox.MatchTo,
	imap.SearchCc: mailbox.MatchCc, imap.SearchBcc: mailbox.MatchBcc, imap.SearchSubject: mailbox.MatchSubject,
	imap.SearchBody: mailbox.MatchBody, imap.SearchText: mailbox.MatchText,
}

var searchNumbers = map[imap.SearchOp]mailbox.MatchKind{
	imap.SearchLarger: mailbox.MatchLarger, imap.SearchSmaller: mailbox.MatchSmaller, imap.SearchModSeq: mailbox.MatchModSeq,
}

func (c *compiler) key(k *imap.SearchKey) (*mailbox.Criterion, error) {
	if kind, ok := searchTexts[k.Op]; ok {
		text, err := c.text(k.Text)
		return &mailbox.Criterion{Kind: kind, Field: k.Field, Text: text}, err
	}
	if kind, ok := searchNumbers[k.Op]; ok {
		return &mailbox.Criterion{Kind: kind, Number: k.Number}, nil
	}
	switch k.Op {
	case imap.SearchAll:
		return &mailbox.Criterion{Kind: mailbox.MatchAll}, nil
	case imap.SearchAnd:
		return c.sub(mailbox.MatchAnd, k.Sub)
	case imap.SearchOr:
		return c.sub(mailbox.MatchOr, k.Sub)
	case imap.SearchNot:
		return c.sub(mailbox.MatchNot, k.Sub)
	case imap.SearchSeq, imap.SearchUID:
		return c.set(k)
	case imap.SearchFlag:
		return &mailbox.Criterion{Kind: mailbox.MatchFlags, Flags: flagBits([]string{k.Text})}, nil
	case imap.SearchKeyword:
		return &mailbox.Criterion{Kind: mailbox.MatchKeyword, Text: k.Text}, nil
	case imap.SearchRecent:
		return c.uids(c.s.sel.recent)
	case imap.SearchOlder, imap.SearchYounger:
		return c.within(k)
	case imap.SearchEmailID:
		return c.objectID(k.Text, "M", func(e *mailbox.Entry) uint64 { return e.Message })
	case imap.SearchThreadID:
		return c.objectID(k.Text, "T", func(e *mailbox.Entry) uint64 { return e.Thread })
	}
	return dates(k), nil
}

// text turns a search string into UTF-8. Without CHARSET, 8-bit text must be
// UTF-8 (RFC 9051 section 6.4.4).
func (c *compiler) text(s string) (string, error) {
	if c.charset == "" || c.charset == "UTF-8" || c.charset == "US-ASCII" {
		if !utf8.ValidString(s) {
			return "", imap.SyntaxError("A search string is not valid UTF-8")
		}
		return s, nil
	}
	return string(message.DecodeCharset(c.charset, []byte(s))), nil
}

func (c *compiler) set(k *imap.SearchKey) (*mailbox.Criterion, error) {
	spans, err := c.s.resolve(k.Set, k.Op == imap.SearchUID, true)
	if err != nil {
		return nil, err
	}
	return c.uids(c.s.sel.uids(spans))
}

func (c *compiler) uids(uids mailbox.UIDSet) (*mailbox.Criterion, error) {
	if len(uids) == 0 {
		return nothing(), nil
	}
	if c.ranges += len(uids); c.ranges > maxRanges {
		return nil, errBigSearch
	}
	return &mailbox.Criterion{Kind: mailbox.MatchUIDs, UIDs: uids}, nil
}

// pick makes a criterion of the messages for which ok says so.
func (c *compiler) pick(ok func(*mailbox.Entry) bool) (*mailbox.Criterion, error) {
	if c.looks++; c.looks > maxLooks {
		return nil, errBigSearch
	}
	var uids mailbox.UIDSet
	view := c.s.sel.view
	for _, e := range view.Range(0, view.Len()) {
		if ok(e) {
			uids = addUID(uids, e.UID)
		}
	}
	return c.uids(uids)
}

// within is OLDER and YOUNGER: by internal date, in seconds (RFC 5032 section 3).
func (c *compiler) within(k *imap.SearchKey) (*mailbox.Criterion, error) {
	limit := c.s.srv.cfg.Clock.Now().Unix() - int64(k.Number)
	if k.Op == imap.SearchOlder {
		return c.pick(func(e *mailbox.Entry) bool { return e.InternalDate <= limit })
	}
	return c.pick(func(e *mailbox.Entry) bool { return e.InternalDate >= limit })
}

// objectID is EMAILID and THREADID (RFC 8474 section 6).
func (c *compiler) objectID(text, prefix string, of func(*mailbox.Entry) uint64) (*mailbox.Criterion, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, prefix), 10, 64)
	if err != nil || !strings.HasPrefix(text, prefix) {
		return nothing(), nil
	}
	return c.pick(func(e *mailbox.Entry) bool { return of(e) == n })
}

// dates are the date keys: days, as [Since, Before).
func dates(k *imap.SearchKey) *mailbox.Criterion {
	next := k.Date.Add(24 * time.Hour)
	switch k.Op {
	case imap.SearchBefore:
		return &mailbox.Criterion{Kind: mailbox.MatchInternalDate, Before: k.Date}
	case imap.SearchOn:
		return &mailbox.Criterion{Kind: mailbox.MatchInternalDate, Since: k.Date, Before: next}
	case imap.SearchSince:
		return &mailbox.Criterion{Kind: mailbox.MatchInternalDate, Since: k.Date}
	case imap.SearchSentBefore:
		return &mailbox.Criterion{Kind: mailbox.MatchSentDate, Before: k.Date}
	case imap.SearchSentOn:
		return &mailbox.Criterion{Kind: mailbox.MatchSentDate, Since: k.Date, Before: next}
	case imap.SearchSentSince:
		return &mailbox.Criterion{Kind: mailbox.MatchSentDate, Since: k.Date}
	case imap.SearchSavedBefore:
		return &mailbox.Criterion{Kind: mailbox.MatchSaveDate, Before: k.Date}
	case imap.SearchSavedOn:
		return &mailbox.Criterion{Kind: mailbox.MatchSaveDate, Since: k.Date, Before: next}
	}
	return &mailbox.Criterion{Kind: mailbox.MatchSaveDate, Since: k.Date}
}
