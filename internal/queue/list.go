package queue

import (
	"bytes"
	"cmp"
	"context"
	"errors"

	"posthouse/internal/kv"
)

// maxPage is the most that List gives at once.
const maxPage = 10_000

// List is Admin's. However much there is, it remembers no more than two pages.
func (q *Queue) List(ctx context.Context, sel Selector, page Page) ([]Entry, error) {
	if err := q.load(ctx); err != nil {
		return nil, err
	}
	limit := page.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	list := make([]Entry, 0, min(limit, 100))
	for after := page.After; ; {
		picked, err := q.page(ctx, q.matcher(sel), after, limit-len(list))
		if err != nil {
			return nil, err
		}
		if len(picked) == 0 {
			return list, nil
		}
		last := picked[len(picked)-1]
		after = last.id()
		if m := q.matcher(sel); m.rcpt != "" {
			if picked, err = q.confirm(ctx, m, picked); err != nil {
				return nil, err
			}
		}
		if list, err = q.describe(ctx, list, picked, false); err != nil || len(list) >= limit {
			return list, err
		}
	}
}

// page gives the first entries after an ID that match in memory.
func (q *Queue) page(ctx context.Context, m *matcher, after string, limit int) ([]*entry, error) {
	var least *entry // those before it are on earlier pages
	if msg, n, ok := parseEntryID(after); ok {
		key, _ := msg.Pack()
		least = &entry{msg: &message{key: key}, n: n}
	}
	var picked []*entry
	var most *entry // those after it are on later pages
	err := q.look(ctx, m, func(e *entry) {
		if least != nil && compareKeys(e, least) <= 0 || most != nil && compareKeys(e, most) >= 0 {
			return
		}
		if picked = append(picked, e); len(picked) >= 2*limit {
			byID(picked)
			picked = picked[:limit]
			most = picked[limit-1]
		}
	})
	byID(picked)
	return picked[:min(len(picked), limit)], err
}

// compareKeys is compareIDs for an entry that is not in the schedule.
func compareKeys(a, b *entry) int {
	if c := bytes.Compare(a.msg.key[:], b.msg.key[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.n, b.n)
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
		var from string
		var last *message
		for _, e := range page {
			row, err := getRow(r, e.msg.id(), e.n)
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if e.msg != last {
				if from, err = senderOf(r, e.msg.id()); err != nil {
					return err
				}
				last = e.msg
			}
			if d, ok := q.describeOne(e, row, history); ok {
				d.From = from
				list = append(list, d)
			}
		}
		return nil
	})
	return list, err
}

func (q *Queue) describeOne(e *entry, row *row, history bool) (Entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.state == sGone {
		return Entry{}, false
	}
	m := e.msg
	d := Entry{
		ID: e.id(), Message: m.id(), To: row.rcpt.To.String(), Domain: e.dest.name, Size: m.size, State: stateNames[e.state],
		Created: m.created.time(), Next: e.due.time(), Expires: m.expires.time(), Attempts: row.attempts,
	}
	if row.last.Code != 0 {
		d.Last, d.Judgement, d.Hint = resultOf(&row.last), judgementOf(&row.last), row.last.Class.Verdict(row.last.Code).Hint
	}
	if now := q.opt.Clock.Now(); e.state == sReady && d.Next.After(now) {
		d.Next = now // before its time, as an operator wants
	}
	if e.is(fSender) {
		d.Last = "Held by its sender until its time"
	}
	d.Source, d.Priority, d.Via = q.sourceName(m.source), bandNames[m.band], redacted(e.dest.via)
	if e.dest.route != nil {
		d.Site = e.dest.route.Site
	}
	d.Why, d.Until = q.why(e)
	if history {
		d.History = row.history
	}
	return d, true
}
