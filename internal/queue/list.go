package queue

import (
	"context"
	"errors"

	"posthouse/internal/kv"
)

// List gives the entries that a selector chooses, oldest first.
func (q *Queue) List(ctx context.Context, sel Selector) ([]Entry, error) {
	picked, err := q.pick(ctx, sel, alwaysTrue)
	if err != nil {
		return nil, err
	}
	byID(picked)
	list := make([]Entry, 0, len(picked))
	for len(picked) > 0 {
		page := picked[:min(len(picked), 1000)]
		picked = picked[len(page):]
		if list, err = q.describe(ctx, list, page, false); err != nil {
			return nil, err
		}
	}
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
	if e.is(fSender) {
		d.Last = "Held by its sender until its time"
	}
	if history {
		d.History = row.history
	}
	return d, true
}
