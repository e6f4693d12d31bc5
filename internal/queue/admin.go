package queue

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"posthouse/internal/courier"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// adminBatch is how many entries one transaction of an operator changes.
const adminBatch = 200

// matcher is a Selector made ready to compare.
type matcher struct {
	sel    Selector
	domain string
	sender smtp.Address
}

func (q *Queue) matcher(sel Selector) matcher {
	m := matcher{sel: sel}
	if sel.Domain != "" {
		m.domain = smtp.CanonicalDomain(sel.Domain)
	}
	if s := strings.Trim(sel.Sender, "<>"); sel.Sender != "" && s != "" {
		var err error
		if m.sender, err = smtp.ParseAddress(s); err != nil {
			m.sender = smtp.Address{Local: s}
		}
	}
	return m
}

// matches reports whether all set fields of the selector agree. Under q.mu.
func (q *Queue) matches(m *matcher, e *entry) bool {
	switch {
	case m.domain != "" && e.domain != m.domain:
		return false
	case m.sel.Sender != "" && !sameAddress(m.sender, e.msg.from):
		return false
	case m.sel.OlderThan > 0 && q.opt.Clock.Now().Sub(e.msg.created) < m.sel.OlderThan:
		return false
	case m.sel.ID == "" || m.sel.ID == string(e.msg.id):
		return true
	}
	return m.sel.ID == entryID(e.msg.id, e.n)
}

// pick gives the entries that a selector and a condition choose.
func (q *Queue) pick(ctx context.Context, sel Selector, also func(*entry) bool) ([]*entry, error) {
	if err := q.load(ctx); err != nil {
		return nil, err
	}
	m := q.matcher(sel)
	q.mu.Lock()
	defer q.mu.Unlock()
	var picked []*entry
	for _, msg := range q.messages {
		for _, e := range msg.list {
			if e.state != "" && q.matches(&m, e) && also(e) {
				picked = append(picked, e)
			}
		}
	}
	sort.Slice(picked, func(a, b int) bool { // the same partitions together
		pa, pb := Partition(picked[a].msg.id), Partition(picked[b].msg.id)
		if pa != pb {
			return pa < pb
		}
		return picked[a].msg.id < picked[b].msg.id
	})
	return picked, nil
}

// List gives the entries that a selector chooses, oldest first.
func (q *Queue) List(ctx context.Context, sel Selector) ([]Entry, error) {
	picked, err := q.pick(ctx, sel, func(*entry) bool { return true })
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(picked))
	for len(picked) > 0 {
		page := picked[:min(len(picked), 1000)]
		picked = picked[len(page):]
		if list, err = q.describe(ctx, list, page, false); err != nil {
			return nil, err
		}
	}
	sort.Slice(list, func(a, b int) bool {
		if !list[a].Created.Equal(list[b].Created) {
			return list[a].Created.Before(list[b].Created)
		}
		return list[a].ID < list[b].ID
	})
	return list, nil
}

// Show gives one entry with its history; ErrNotFound.
func (q *Queue) Show(ctx context.Context, entry string) (Entry, error) {
	msg, n, ok := parseEntryID(entry)
	if !ok {
		return Entry{}, ErrNotFound
	}
	picked, err := q.pick(ctx, Selector{ID: entryID(msg, n)}, alwaysTrue)
	if err != nil {
		return Entry{}, err
	}
	list, err := q.describe(ctx, nil, picked, true)
	if err != nil {
		return Entry{}, err
	}
	if len(list) == 0 {
		return Entry{}, ErrNotFound
	}
	return list[0], nil
}

func alwaysTrue(*entry) bool { return true }

// describe adds entries as operators see them to list; those that are gone are
// left out.
func (q *Queue) describe(ctx context.Context, list []Entry, page []*entry, history bool) ([]Entry, error) {
	err := q.opt.DB.View(ctx, func(r kv.Reader) error {
		for _, e := range page {
			row, err := getRow(r, e.msg.id, e.n)
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			q.mu.Lock()
			d := Entry{
				ID: entryID(e.msg.id, e.n), Message: e.msg.id, From: e.msg.from.String(), To: row.rcpt.To.String(),
				Domain: e.domain, Size: e.msg.size, State: e.state, Created: e.msg.created, Next: e.next,
				Expires: e.msg.expires, Attempts: row.attempts,
			}
			q.mu.Unlock()
			if d.State == "" {
				continue
			}
			if row.last.Code != 0 {
				d.Last, d.Judgement, d.Hint = resultOf(&row.last), judgementOf(&row.last), row.last.Class.Verdict(row.last.Code).Hint
			}
			if history {
				d.History = row.history
			}
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

// Retry makes waiting entries ready now. Held ones stay held.
func (q *Queue) Retry(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.state == Waiting && !e.busy })
	if err != nil {
		return 0, err
	}
	if len(picked) > 0 {
		// When nothing runs here, the next start finds their time come.
		err = q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
			op.row.state, op.row.next = Ready, q.opt.Clock.Now()
			return op.write(tx)
		}, func(e *entry) {
			if e.state == Waiting && !e.busy {
				e.next = q.opt.Clock.Now()
				q.makeReady(e)
			}
		})
	}
	return len(picked), err
}

// Hold keeps entries from being tried until they are released. One that is
// being tried is held if that fails.
func (q *Queue) Hold(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.state != Held })
	if err != nil {
		return 0, err
	}
	return len(picked), q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		op.row.state = Held
		op.event(journal.Held)
		return op.write(tx)
	}, func(e *entry) {
		q.unwait(e)
		q.setState(e, Held)
		e.job = nil
	})
}

// Release lets held entries go on at once.
func (q *Queue) Release(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.state == Held && !e.dropping })
	if err != nil {
		return 0, err
	}
	return len(picked), q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		op.row.state, op.row.next = Ready, q.opt.Clock.Now()
		op.event(journal.Released)
		return op.write(tx)
	}, func(e *entry) {
		e.next = q.opt.Clock.Now()
		if e.busy {
			q.setState(e, Ready)
		} else {
			q.makeReady(e)
		}
	})
}

// Drop removes entries without a DSN. One that is being tried is removed after
// that, whatever comes of it.
func (q *Queue) Drop(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return !e.dropping })
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	for _, e := range picked {
		// From here on it is not begun, and a failure is not reported.
		e.dropping = true
		e.job = nil
		if !e.busy {
			q.unwait(e)
			q.setState(e, Held)
		}
	}
	q.mu.Unlock()
	err = q.dropAll(ctx, picked)
	if err != nil {
		q.mu.Lock()
		for _, e := range picked {
			e.dropping = false // those that are left are held
		}
		q.mu.Unlock()
	}
	return len(picked), err
}

func (q *Queue) dropAll(ctx context.Context, picked []*entry) error {
	return q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		if op.busy {
			op.row.drop, op.row.state = true, Held
			return op.write(tx)
		}
		op.event(journal.Dropped)
		op.c.removed = true
		return tx.Delete(entryKey(op.c.e.msg.id, op.c.e.n))
	}, nil)
}

// finishDrops removes what was dropped while it was tried before a crash.
func (q *Queue) finishDrops(ctx context.Context) error {
	picked, err := q.pick(ctx, Selector{}, func(e *entry) bool { return e.dropping })
	if err != nil || len(picked) == 0 {
		return err
	}
	return q.dropAll(ctx, picked)
}

// operation is an operator's change of one entry, in a transaction.
type operation struct {
	c    *change
	row  *row
	busy bool
}

func (op *operation) event(kind journal.Kind) {
	m := op.c.e.msg
	op.c.events = append(op.c.events, &journal.Event{
		At: op.c.at, Kind: kind, Message: m.id, From: m.from.String(), To: op.row.rcpt.To.String(),
	})
}

func (op *operation) write(tx kv.Tx) error {
	return tx.Set(entryKey(op.c.e.msg.id, op.c.e.n), op.row.encode())
}

// operate changes entries in the store with do and then in memory with after,
// in transactions of bounded size. No outcome is recorded meanwhile.
func (q *Queue) operate(ctx context.Context, picked []*entry, do func(kv.Tx, *operation) error, after func(*entry)) error {
	for len(picked) > 0 {
		n := min(len(picked), adminBatch)
		if err := q.operateBatch(ctx, picked[:n], do, after); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		picked = picked[n:]
	}
	return nil
}

func (q *Queue) operateBatch(ctx context.Context, picked []*entry, do func(kv.Tx, *operation) error, after func(*entry)) error {
	q.order.Lock()
	defer q.order.Unlock()
	b := new(batch)
	busy := make(map[*entry]bool)
	now := q.opt.Clock.Now()
	q.mu.Lock()
	for _, e := range picked {
		busy[e] = e.busy
		b.changes = append(b.changes, &change{e: e, o: new(courier.Outcome), at: now})
	}
	q.mu.Unlock()
	found := make(map[*entry]bool)
	err := q.opt.DB.Update(ctx, b.parts(), func(tx kv.Tx) error {
		clear(found)
		b.events, b.released = b.events[:0], b.released[:0]
		for _, c := range b.changes {
			c.removed, c.events = false, c.events[:0]
			r, err := getRow(tx, c.e.msg.id, c.e.n)
			if errors.Is(err, kv.ErrNotFound) {
				continue // done meanwhile
			}
			if err != nil {
				return err
			}
			found[c.e] = true
			if err := do(tx, &operation{c: c, row: r, busy: busy[c.e]}); err != nil {
				return err
			}
			b.events = append(b.events, c.events...)
		}
		for _, c := range b.changes {
			if c.removed {
				if err := q.removeMessageTx(tx, b, c.e.msg); err != nil {
					return err
				}
			}
		}
		return q.opt.Journal.AppendTx(tx, b.events...)
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	for _, c := range b.changes {
		switch {
		case c.removed:
			q.remove(c.e)
		case found[c.e] && after != nil && c.e.state != "":
			after(c.e)
		}
	}
	q.observe()
	q.mu.Unlock()
	q.published(b)
	return nil
}
