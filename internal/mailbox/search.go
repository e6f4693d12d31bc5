package mailbox

import (
	"context"
	"errors"

	"posthouse/internal/blob"
	"posthouse/internal/message"
)

// A search goes through the mailbox twice: first with what the entries in memory
// tell, then, for those that this leaves open, with summaries, headers and bodies,
// each read only when the cheaper ones have not decided.

// answer is what is known of a message so far.
type answer int8

const (
	open answer = iota // depends on what was not read yet
	yes
	no
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// Search finds the entries of snap that match c, in order. Messages that are
// gone, or whose body is damaged, do not match what asks for their content.
func (m *Mailbox) Search(ctx context.Context, snap *Snapshot, c *Criterion) ([]Entry, error) {
	if c == nil {
		c = &Criterion{Kind: MatchAll}
	}
	q := compile(c, snap)
	answers := make([]answer, snap.Len())
	undecided := 0
	for i, e := range snap.Range(0, snap.Len()) {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if answers[i] = q.eval(&candidate{pos: i, e: e}); answers[i] == open {
			undecided++
		}
	}
	if undecided > 0 {
		if err := m.searchContent(ctx, snap, q, answers); err != nil {
			return nil, err
		}
	}
	var out []Entry
	for i, e := range snap.Range(0, snap.Len()) {
		if answers[i] == yes {
			out = append(out, *e)
		}
	}
	return out, nil
}

// searchContent decides what the entries left open.
func (m *Mailbox) searchContent(ctx context.Context, snap *Snapshot, q *query, answers []answer) error {
	var failed error
	positions := func(yield func(Entry) bool) {
		for i, e := range snap.Range(0, snap.Len()) {
			if answers[i] == open && !yield(*e) {
				return
			}
		}
	}
	err := m.Summaries(ctx, message.KeptTraits, positions, func(e Entry, sum *message.Summary) bool {
		i, _ := snap.Index(e.UID)
		c := &candidate{pos: i, e: &e, sum: sum, m: m, ctx: ctx}
		answers[i] = q.eval(c)
		c.close()
		if c.err != nil {
			answers[i] = no
			if !errors.Is(c.err, ErrGone) && !errors.Is(c.err, ErrDamaged) {
				failed = c.err
			}
		}
		return failed == nil && ctx.Err() == nil
	})
	return errors.Join(err, failed, ctx.Err())
}

// candidate is a message under search.
type candidate struct {
	pos int
	e   *Entry
	sum *message.Summary // nil in the first round

	ctx      context.Context
	m        *Mailbox
	body     blob.Body
	header   message.Header // a window of a header, read last
	headerAt int64          // where it begins
	err      error          // of reading; the answer does not count then
}

func (c *candidate) close() {
	if c.body != nil {
		c.body.Close()
	}
}

// bytes opens the message's body; nil after a fault.
func (c *candidate) bytes() blob.Body {
	if c.body == nil && c.err == nil {
		c.body, c.err = c.m.Body(c.ctx, *c.e)
	}
	if c.err != nil {
		return nil
	}
	return c.body
}

// structure is the summary with all parts; nil after a fault.
func (c *candidate) structure() *message.Summary {
	if c.sum.Kept != message.KeptWhole && c.err == nil {
		var whole *message.Summary
		if whole, c.err = c.m.parseAgain(c.ctx, *c.e); c.err == nil {
			c.sum = whole
		}
	}
	if c.err != nil {
		return nil
	}
	return c.sum
}
