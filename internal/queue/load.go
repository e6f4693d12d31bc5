package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

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
	err := q.loadSuspensions(ctx)
	if err == nil {
		err = q.loadShards(ctx)
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

// loaders is how many shards are read at a time.
const loaders = 4

func (q *Queue) loadShards(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	var next atomic.Int32
	for range loaders {
		work.Go(func() {
			for shard := next.Add(1) - 1; shard < Shards; shard = next.Add(1) - 1 {
				if err := q.loadShard(ctx, kv.QueueShard(uint16(shard))); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// forgetAll undoes a load that failed. Under q.mu.
func (q *Queue) forgetAll() {
	clear(q.messages)
	clear(q.sites)
	clear(q.dests)
	clear(q.meters)
	clear(q.suspended)
	clear(q.holds)
	q.depth = [4]int{}
	q.turns, q.crowd, q.timers, q.alarms, q.asking, q.early = turns{}, nil, nil, nil, nil, nil
}

// loader puts the rows of a shard together. Both kinds are in the order of their
// messages.
type loader struct {
	q        *Queue
	messages []*message // not yet met among the entries
	current  *fresh
	done     []*fresh // to be added
}

// loadBatch is how many messages are added under one hold of the lock.
const loadBatch = 500

func (q *Queue) loadShard(ctx context.Context, part kv.Partition) error {
	l := &loader{q: q}
	err := scanRows(ctx, q.opt.DB, part, rowMessage, func(key, value []byte) error {
		h, _, err := decodeHead(value)
		m, ok := q.messageOf(id.ID(key), &h)
		if err != nil || !ok {
			q.opt.Log.Error("queue: damaged message row is left alone", "key", fmt.Sprintf("%x", key))
			return nil
		}
		l.messages = append(l.messages, m)
		return nil
	})
	if err != nil {
		return err
	}
	if err := scanRows(ctx, q.opt.DB, part, rowEntry, l.entry); err != nil {
		return err
	}
	l.flush()
	l.add()
	for _, m := range l.messages {
		l.lonely(m)
	}
	return nil
}

func (l *loader) lonely(m *message) {
	l.q.opt.Log.Error("queue: message without entries", "msg_id", string(m.id()))
}

// entry takes one entry row.
func (l *loader) entry(key, value []byte) error {
	msg, n, ok := parseEntryKey(key)
	r, err := decodeRow(value, true)
	if !ok || err != nil || !l.find(msg) {
		l.q.opt.Log.Error("queue: damaged entry row is left alone", "key", fmt.Sprintf("%x", key))
		return nil
	}
	l.current.numbers, l.current.rows = append(l.current.numbers, n), append(l.current.rows, r)
	return nil
}

// find makes msg the current message; false when it has no row.
func (l *loader) find(msg id.ID) bool {
	key, ok := msg.Pack()
	if !ok {
		return false
	}
	if l.current != nil && l.current.m.key == key {
		return true
	}
	l.flush()
	for len(l.messages) > 0 && bytes.Compare(l.messages[0].key[:], key[:]) < 0 {
		l.lonely(l.messages[0])
		l.messages = l.messages[1:]
	}
	if len(l.messages) == 0 || l.messages[0].key != key {
		return false
	}
	l.current, l.messages = &fresh{m: l.messages[0]}, l.messages[1:]
	return true
}

// flush ends the current message.
func (l *loader) flush() {
	if l.current == nil {
		return
	}
	l.done = append(l.done, l.current)
	l.current = nil
	if len(l.done) >= loadBatch {
		l.add()
	}
}

// add puts messages on the schedule.
func (l *loader) add() {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	for _, f := range l.done {
		l.q.add(f)
	}
	clear(l.done)
	l.done = l.done[:0]
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

// atHand brings what the attempt of a job needs into memory. The job's entries
// are busy.
func (q *Queue) atHand(ctx context.Context, j *job) error {
	q.mu.Lock()
	j.full = j.msg.full
	q.mu.Unlock()
	j.rows = make([]*row, len(j.entries))
	if j.full != nil {
		for i, e := range j.entries {
			j.rows[i] = q.rowOf(j.full, int(e.n), Ready)
		}
		return nil
	}
	return q.opt.DB.View(ctx, func(r kv.Reader) error {
		msg := j.msg.id()
		value, err := r.Get(messageKey(msg))
		if err != nil {
			return err
		}
		if j.full, err = decodeMessage(value); err != nil {
			return err
		}
		for i, e := range j.entries {
			if j.rows[i], err = getRow(r, msg, e.n); err != nil {
				return err
			}
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

// senderOf is the reverse-path of a message.
func senderOf(r kv.Reader, msg id.ID) (string, error) {
	value, err := r.Get(messageKey(msg))
	if errors.Is(err, kv.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	h, _, err := decodeHead(value)
	return h.from.String(), err
}
