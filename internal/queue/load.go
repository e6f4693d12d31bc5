package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// pageRows is how many rows one snapshot reads.
const pageRows = 5000

// load reads the schedule from the store, once.
func (q *Queue) load(ctx context.Context) error {
	q.loading.Lock()
	defer q.loading.Unlock()
	q.mu.Lock()
	if q.phase != phaseNew {
		q.mu.Unlock()
		return nil
	}
	q.phase = phaseLoading
	q.mu.Unlock()
	var err error
	for shard := range uint16(Shards) {
		if err = q.loadShard(ctx, kv.QueueShard(shard)); err != nil {
			break
		}
	}
	if err == nil {
		err = q.opt.DB.Sync(ctx)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.forgetAll()
		q.phase = phaseNew
		return err
	}
	q.phase = phaseLoaded
	for _, m := range q.early {
		q.enqueued(m)
	}
	q.early = nil
	return nil
}

// forgetAll undoes a load that failed. Under q.mu.
func (q *Queue) forgetAll() {
	clear(q.messages)
	clear(q.sites)
	clear(q.lookups)
	clear(q.depth)
	q.timers, q.asking, q.early = nil, nil, nil
}

// loader puts the rows of a shard together. Both kinds are in the order of their
// messages.
type loader struct {
	q        *Queue
	messages []*message // not yet met among the entries
	current  *message
	numbers  []uint16
	rows     []*row
}

func (q *Queue) loadShard(ctx context.Context, part kv.Partition) error {
	l := &loader{q: q}
	err := scanRows(ctx, q.opt.DB, part, rowMessage, func(key, value []byte) error {
		h, _, err := decodeHead(value)
		if err != nil || len(key) != 16 {
			q.opt.Log.Error("queue: damaged message row is left alone", "key", fmt.Sprintf("%x", key))
			return nil
		}
		l.messages = append(l.messages, &message{id: id.ID(key), head: h})
		return nil
	})
	if err != nil {
		return err
	}
	if err := scanRows(ctx, q.opt.DB, part, rowEntry, l.entry); err != nil {
		return err
	}
	l.flush()
	for _, m := range l.messages {
		q.opt.Log.Error("queue: message without entries", "msg_id", string(m.id))
	}
	return nil
}

// entry takes one entry row.
func (l *loader) entry(key, value []byte) error {
	msg, n, ok := parseEntryKey(key)
	r, err := decodeRow(value, true)
	if !ok || err != nil || !l.find(msg) {
		l.q.opt.Log.Error("queue: damaged entry row is left alone", "key", fmt.Sprintf("%x", key))
		return nil
	}
	l.numbers, l.rows = append(l.numbers, n), append(l.rows, r)
	return nil
}

// find makes msg the current message; false when it has no row.
func (l *loader) find(msg id.ID) bool {
	if l.current != nil && l.current.id == msg {
		return true
	}
	l.flush()
	for len(l.messages) > 0 && l.messages[0].id < msg {
		l.q.opt.Log.Error("queue: message without entries", "msg_id", string(l.messages[0].id))
		l.messages = l.messages[1:]
	}
	if len(l.messages) == 0 || l.messages[0].id != msg {
		return false
	}
	l.current, l.messages = l.messages[0], l.messages[1:]
	return true
}

// flush puts the current message on the schedule.
func (l *loader) flush() {
	if l.current == nil {
		return
	}
	l.q.mu.Lock()
	l.q.add(l.current, false, l.numbers, l.rows)
	l.q.mu.Unlock()
	l.current, l.numbers, l.rows = nil, l.numbers[:0], l.rows[:0]
}

// scanRows calls fn for the rows of one kind in a shard, with what follows the
// kind in the key, in pages, so that no snapshot is held for long.
func scanRows(ctx context.Context, db kv.Store, part kv.Partition, kind byte, fn func(key, value []byte) error) error {
	prefix := kv.NewKey(part).Byte(kind)
	from, end := []byte(prefix), prefix.End()
	for {
		n := 0
		var bad error
		err := db.View(ctx, func(r kv.Reader) error {
			n, bad = 0, nil
			at := from
			return r.Scan(at, end, func(key, value []byte) bool {
				if bad = fn(key[len(prefix):], value); bad != nil {
					return false
				}
				if n++; n < pageRows {
					return true
				}
				from = append(bytes.Clone(key), 0)
				return false
			})
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		if n < pageRows {
			return nil
		}
	}
}

// atHand makes sure that what the attempt of a job needs is in memory. The
// job's entries are busy.
func (q *Queue) atHand(ctx context.Context, j *job) error {
	q.mu.Lock()
	j.full = j.msg.full
	q.mu.Unlock()
	missing := j.full == nil
	for _, e := range j.entries {
		missing = missing || e.row == nil
	}
	if !missing {
		return nil
	}
	return q.opt.DB.View(ctx, func(r kv.Reader) error {
		if j.full == nil {
			value, err := r.Get(messageKey(j.msg.id))
			if err != nil {
				return err
			}
			if j.full, err = decodeMessage(value); err != nil {
				return err
			}
		}
		for _, e := range j.entries {
			if e.row != nil {
				continue
			}
			row, err := getRow(r, e.msg.id, e.n)
			if err != nil {
				return err
			}
			e.row = row
		}
		return nil
	})
}

func getRow(r kv.Reader, msg id.ID, n uint16) (*row, error) {
	value, err := r.Get(entryKey(msg, n))
	if err != nil {
		return nil, err
	}
	return decodeRow(value, false)
}
