package queue

import (
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

// found is a message row with its entries, as the scan collects them.
type found struct {
	msg     *message
	numbers []uint16
	rows    []*row
}

func (q *Queue) loadShard(ctx context.Context, part kv.Partition) error {
	heads := make(map[id.ID]*found)
	err := scanRows(ctx, q.opt.DB, part, rowMessage, func(key, value []byte) error {
		h, _, err := decodeHead(value)
		if err != nil || len(key) != 16 {
			q.opt.Log.Error("queue: damaged message row is left alone", "key", fmt.Sprintf("%x", key))
			return nil
		}
		heads[id.ID(key)] = &found{msg: &message{id: id.ID(key), head: h}}
		return nil
	})
	if err != nil {
		return err
	}
	err = scanRows(ctx, q.opt.DB, part, rowEntry, func(key, value []byte) error {
		msg, n, ok := parseEntryKey(key)
		r, err := decodeRow(value, true)
		f := heads[msg]
		if !ok || err != nil || f == nil {
			q.opt.Log.Error("queue: damaged entry row is left alone", "key", fmt.Sprintf("%x", key))
			return nil
		}
		f.numbers, f.rows = append(f.numbers, n), append(f.rows, r)
		return nil
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range heads {
		if len(f.rows) == 0 {
			q.opt.Log.Error("queue: message without entries", "msg_id", string(f.msg.id))
			continue
		}
		q.add(f.msg, false, f.numbers, f.rows)
	}
	return nil
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
				n++
				from = append(append([]byte(nil), key...), 0)
				return n < pageRows
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
