package mailbox

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"posthouse/internal/message"
)

// What an answer costs.
const (
	costEntry = iota
	costSummary
	costHeader
	costBody
)

// query is a Criterion made ready: texts folded, sets sorted, keywords looked up,
// the cheap parts of an AND or OR before the dear ones.
type query struct {
	kind    MatchKind
	cost    int
	sub     []*query
	flags   Flags
	keyword uint64
	set     UIDSet
	number  uint64
	field   string
	text    string // folded
	plain   bool   // text can be looked for in a parsed address
	since   int64  // days since 1970
	before  int64
}

// The days that stand for an open bound.
const (
	firstDay = -1 << 62
	lastDay  = 1 << 62
)

func compile(c *Criterion, snap *Snapshot) *query {
	q := &query{
		kind: c.Kind, cost: costOf(c.Kind), flags: c.Flags, number: c.Number,
		field: c.Field, text: message.FoldCase(c.Text),
		since: firstDay, before: lastDay,
	}
	q.plain = !strings.ContainsAny(c.Text, "\"<>()[]\\:;,") && strings.TrimSpace(c.Text) == c.Text
	if !c.Since.IsZero() {
		q.since = dayOf(c.Since)
	}
	if !c.Before.IsZero() {
		q.before = dayOf(c.Before)
	}
	switch c.Kind {
	case MatchUIDs, MatchSeqs:
		q.set = c.UIDs.Sorted()
	case MatchKeyword:
		for i, name := range snap.keywords {
			if strings.EqualFold(name, c.Text) {
				q.keyword = 1 << i
			}
		}
	}
	for _, sub := range c.Sub {
		s := compile(sub, snap)
		q.sub = append(q.sub, s)
		q.cost = max(q.cost, s.cost)
	}
	if c.Kind == MatchAnd || c.Kind == MatchOr {
		slices.SortStableFunc(q.sub, func(a, b *query) int { return cmp.Compare(a.cost, b.cost) })
	}
	return q
}

func costOf(k MatchKind) int {
	switch k {
	case MatchSentDate, MatchFrom, MatchTo, MatchCc, MatchBcc, MatchSubject:
		return costSummary
	case MatchHeader:
		return costHeader
	case MatchBody, MatchText:
		return costBody
	}
	return costEntry
}

// dayOf is the calendar day of t in its own zone.
func dayOf(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// dayOfUnix is the calendar day of a Unix time in UTC.
func dayOfUnix(sec int64) int64 {
	day := sec / 86400
	if sec%86400 < 0 {
		day--
	}
	return day
}

func (q *query) between(day int64) answer { return answerOf(q.since <= day && day < q.before) }

// eval answers as far as c knows; with a summary it always decides.
func (q *query) eval(c *candidate) answer {
	switch q.kind {
	case MatchAnd:
		return q.evalAll(c, yes, no)
	case MatchOr:
		return q.evalAll(c, no, yes)
	case MatchNot:
		return q.evalNot(c)
	}
	if q.cost == costEntry {
		return q.evalEntry(c)
	}
	if c.sum == nil {
		return open
	}
	return answerOf(q.evalContent(c))
}

// evalAll is AND and OR: the answer that settles it ends it, without any it is
// that of none.
func (q *query) evalAll(c *candidate, none, settles answer) answer {
	all := none
	for _, sub := range q.sub {
		switch sub.eval(c) {
		case settles:
			return settles
		case open:
			all = open
		}
		if c.err != nil || c.ctx != nil && c.ctx.Err() != nil {
			return no // which does not count
		}
	}
	return all
}

func (q *query) evalNot(c *candidate) answer {
	if len(q.sub) == 0 {
		return no
	}
	switch q.sub[0].eval(c) {
	case yes:
		return no
	case no:
		return yes
	}
	return open
}

func (q *query) evalEntry(c *candidate) answer {
	e := c.e
	switch q.kind {
	case MatchAll:
		return yes
	case MatchFlags:
		return answerOf(e.Flags&q.flags == q.flags)
	case MatchKeyword:
		return answerOf(e.Keywords&q.keyword != 0)
	case MatchUIDs:
		return answerOf(q.set.Contains(e.UID))
	case MatchSeqs:
		return answerOf(q.set.Contains(uint32(c.pos + 1)))
	case MatchLarger:
		return answerOf(uint64(e.Size) > q.number)
	case MatchSmaller:
		return answerOf(uint64(e.Size) < q.number)
	case MatchInternalDate:
		return q.between(dayOfUnix(e.InternalDate))
	case MatchSaveDate:
		return q.between(dayOfUnix(e.SaveDate))
	case MatchModSeq:
		return answerOf(e.ModSeq >= q.number)
	}
	return no
}
