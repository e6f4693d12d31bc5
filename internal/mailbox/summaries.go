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
// it returns false. Entries whose message is gone or damaged are passed over. It reads in
// pages and holds no snapshot while fn runs for long.
func (m *Mailbox) Summaries(ctx context.Context, entries iter.Seq[Entry], fn func(Entry, *message.Summary) bool) error {
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
			if sum := page.sums[i]; sum != nil && !fn(e, sum) {
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
	again   []int // of entries: their summary is too long to be kept
}

func (p *summaryReader) read(ctx context.Context) error {
	p.sums = append(p.sums[:0], make([]*message.Summary, len(p.entries))...)
	p.again = p.again[:0]
	err := p.b.a.s.db.View(ctx, func(r kv.Reader) error {
		p.again = p.again[:0]
		if p.dense() {
			return p.scan(r)
		}
		return p.get(r)
	})
	if err != nil {
		return err
	}
	for _, i := range p.again {
		sum, err := p.b.parseAgain(ctx, p.entries[i])
		if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrDamaged) {
			return err
		}
		p.sums[i] = sum
	}
	return nil
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
		p.again = append(p.again, i)
		return nil
	}
	p.sums[i] = sum
	return err
}

// parseAgain makes a summary from the body.
func (b *box) parseAgain(ctx context.Context, e Entry) (*message.Summary, error) {
	m := Mailbox{b: b}
	body, err := m.Body(ctx, e)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	p := message.NewParser(message.Options{})
	if _, err := io.Copy(p, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return nil, err
	}
	return p.Finish(), nil
}
