package pebble

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"posthouse/internal/kv"
)

// tx is the kv.Tx of one Update, and then the request to make it durable.
type tx struct {
	reader
	request request
	batch   *pebble.Batch
	parts   kv.Partitions // sorted, without doubles
	written []bool        // by part
	size    int           // bytes of keys and values so far
	err     error         // the first write refused; fails the Update
	held    []*keyedLock
}

// txPool has those of one store that nobody else refers to.
type txPool struct{ pool sync.Pool }

func (p *txPool) take() *tx {
	if t, ok := p.pool.Get().(*tx); ok {
		return t
	}
	return &tx{request: request{done: make(chan struct{}, 1)}}
}

func (p *txPool) put(t *tx) { p.pool.Put(t) }

// begin readies t for one run of fn.
func (t *tx) begin(ctx context.Context, parts kv.Partitions, batch *pebble.Batch) {
	t.ctx, t.src, t.batch, t.parts = ctx, batch, batch, parts
	t.size, t.err, t.ended = 0, nil, false
	t.written = append(t.written[:0], make([]bool, len(parts))...)
}

// end makes t unusable for fn, and readies the request when fn wrote something.
func (t *tx) end() {
	t.ended = true
	r := &t.request
	r.batch, r.changed = nil, r.changed[:0]
	if !t.batch.Empty() {
		r.batch = t.batch
		for i, p := range t.parts {
			if t.written[i] {
				r.changed = append(r.changed, p)
			}
		}
	}
	t.ctx, t.src, t.parts = nil, nil, nil
	if t.arena = t.arena[:0]; cap(t.arena) > maxArena {
		t.arena = nil
	}
}

func (t *tx) Set(key, value []byte) error {
	if err := t.admit(key, len(value)); err != nil {
		return err
	}
	return t.batch.Set(key, value, nil)
}

func (t *tx) Delete(key []byte) error {
	if err := t.admit(key, 0); err != nil {
		return err
	}
	return t.batch.Delete(key, nil)
}

func (t *tx) DeleteRange(from, to []byte) error {
	// The upper bound may be the key after the last of the partition, which is
	// outside it.
	if err := t.admit(from, 0); err != nil {
		return err
	}
	if len(to) > kv.MaxKey {
		return t.refuse(fmt.Errorf("%w: range end of %d bytes, at most %d", kv.ErrTooLarge, len(to), kv.MaxKey))
	}
	i, _ := t.partition(from)
	end := kv.Key(t.parts[i]).End()
	if to == nil || (end != nil && bytes.Compare(to, end) > 0) {
		return t.refuse(fmt.Errorf("%w: range %q to %q", kv.ErrPartition, from, to))
	}
	if bytes.Compare(from, to) >= 0 {
		return nil
	}
	t.size += len(to)
	return t.batch.DeleteRange(from, to, nil)
}

// admit checks one write against the partitions and the limits, and marks its
// partition as written.
func (t *tx) admit(key []byte, value int) error {
	if t.ended {
		return errEnded
	}
	if len(key) > kv.MaxKey {
		return t.refuse(fmt.Errorf("%w: key of %d bytes, at most %d", kv.ErrTooLarge, len(key), kv.MaxKey))
	}
	if value > kv.MaxValue {
		return t.refuse(fmt.Errorf("%w: value of %d bytes, at most %d", kv.ErrTooLarge, value, kv.MaxValue))
	}
	i, ok := t.partition(key)
	if !ok {
		return t.refuse(fmt.Errorf("%w: key %q", kv.ErrPartition, key))
	}
	if t.size += len(key) + value; t.size > kv.MaxBatch {
		return t.refuse(fmt.Errorf("%w: batch over %d bytes", kv.ErrTooLarge, kv.MaxBatch))
	}
	t.written[i] = true
	return nil
}

func (t *tx) refuse(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// partition finds the one of t.parts that key is in. Partitions are prefix-free,
// so it can only be the greatest that is not greater than key.
func (t *tx) partition(key []byte) (int, bool) {
	i := sort.Search(len(t.parts), func(i int) bool { return string(t.parts[i]) > string(key) }) - 1
	if i < 0 || !strings.HasPrefix(string(key), string(t.parts[i])) {
		return 0, false
	}
	return i, true
}
