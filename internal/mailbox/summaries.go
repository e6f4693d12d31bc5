package mailbox

import (
	"context"
	"errors"
	"io"
	"iter"

	"posthouse/internal/kv"
	"posthouse/internal/message"
)

// summaryPage is how many summaries are read at a time.
const summaryPage = 128

// Summaries calls fn with the summary of each entry, in the order given, until
// it returns false. Of summaries too long to be kept in full it has at least what
// need says; more is made from the body, of one message at a time. Entries whose
// message is gone or damaged are passed over. It reads in pages and holds no snapshot while
// fn runs for long.
func (m *Mailbox) Summaries(ctx context.Context, need message.Kept, entries iter.Seq[Entry], fn func(Entry, *message.Summary) bool) error {
	next, stop := iter.Pull(entries)
	defer stop()
	page := summaryReader{b: m.b}
	for {
		page.entries = page.entries[:0]
		for len(page.entries) < summaryPage {
			e, ok := next()
			if !ok {
				break
			}
			page.entries = append(page.entries, e)
		}
		if len(page.entries) == 0 {
			return ctx.Err()
		}
		if err := page.read(ctx); err != nil {
			return err
		}
		for i, e := range page.entries {
			sum, err := m.enough(ctx, e, page.sums[i], need)
			if err != nil {
				return err
			}
			if sum != nil && !fn(e, sum) {
				return nil
			}
		}
	}
}

// summaryReader reads a page of summaries.
type summaryReader struct {
	b       *box
	entries []Entry
	sums    []*message.Summary
}

// keptNothing is how much errNotKept leaves.
const keptNothing = message.KeptTraits + 1

// enough is sum when that is all that is needed, else what the body gives; nil
// when the message is gone or damaged.
func (m *Mailbox) enough(ctx context.Context, e Entry, sum *message.Summary, need message.Kept) (*message.Summary, error) {
	if sum == nil || sum.Kept <= need {
		return sum, nil
	}
	sum, err := m.parseAgain(ctx, e)
	if errors.Is(err, ErrGone) || errors.Is(err, ErrDamaged) {
		return nil, nil
	}
	return sum, err
}

func (p *summaryReader) read(ctx context.Context) error {
	p.sums = append(p.sums[:0], make([]*message.Summary, len(p.entries))...)
	return p.b.a.s.db.View(ctx, func(r kv.Reader) error {
		if p.dense() {
			return p.scan(r)
		}
		return p.get(r)
	})
}

// dense reports whether one scan is cheaper than many Gets.
func (p *summaryReader) dense() bool {
	n := len(p.entries)
	if n < 3 {
		return false
	}
	for i := 1; i < n; i++ {
		if p.entries[i].Message <= p.entries[i-1].Message {
			return false
		}
	}
	return p.entries[n-1].Message-p.entries[0].Message < uint64(4*n)
}

func (p *summaryReader) scan(r kv.Reader) error {
	k := p.b.a.keys
	i := 0
	var bad error
	err := r.Scan(k.summary(p.entries[0].Message), k.summary(p.entries[len(p.entries)-1].Message).End(),
		func(key, value []byte) bool {
			n := k.tail64(key)
			for i < len(p.entries) && p.entries[i].Message < n {
				i++
			}
			if i < len(p.entries) && p.entries[i].Message == n {
				bad = p.decode(i, value)
			}
			return bad == nil
		})
	return errors.Join(err, bad)
}

func (p *summaryReader) get(r kv.Reader) error {
	for i, e := range p.entries {
		value, err := r.Get(p.b.a.keys.summary(e.Message))
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := p.decode(i, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *summaryReader) decode(i int, value []byte) error {
	sum, err := decodeSummary(value)
	if errors.Is(err, errNotKept) {
		sum, err = &message.Summary{Kept: keptNothing}, nil
	}
	p.sums[i] = sum
	return err
}

// parseAgain makes a summary from the body.
func (m *Mailbox) parseAgain(ctx context.Context, e Entry) (*message.Summary, error) {
	body, err := m.Body(ctx, e)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	p := message.NewParser(message.Options{})
	if _, err := io.Copy(p, &cancelReader{ctx, io.NewSectionReader(body, 0, body.Size())}); err != nil {
		return nil, err
	}
	return p.Finish(), nil
}
