package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// memory is a store for tests in virtual time.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
	fail error // of Update
}

func newMemory() *memory { return &memory{rows: map[string][]byte{}} }

func (m *memory) setFail(err error) {
	m.mu.Lock()
	m.fail = err
	m.mu.Unlock()
}

// View shows the rows as they are when they are read: no snapshot, but it may
// hold another View.
func (m *memory) View(_ context.Context, fn func(kv.Reader) error) error {
	return fn(&memoryTx{m: m})
}

func (m *memory) Update(_ context.Context, parts kv.Partitions, fn func(kv.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	var tx *memoryTx
	for range 2 { // fn may run again
		tx = &memoryTx{m: m, changed: map[string][]byte{}, parts: parts}
		if err := fn(tx); err != nil {
			return err
		}
	}
	for k, v := range tx.changed {
		if v == nil {
			delete(m.rows, k)
		} else {
			m.rows[k] = v
		}
	}
	return nil
}

func (m *memory) Sync(context.Context) error { return nil }
func (m *memory) Watch(kv.Partition) (<-chan struct{}, func()) {
	return make(chan struct{}), func() {}
}
func (m *memory) Close() error { return nil }

type memoryTx struct {
	m       *memory
	changed map[string][]byte // nil values are deleted; nil: a View
	parts   kv.Partitions
}

// locked holds the store for a View; an Update holds it already.
func (t *memoryTx) locked(fn func()) {
	if t.changed == nil {
		t.m.mu.Lock()
		defer t.m.mu.Unlock()
	}
	fn()
}

func (t *memoryTx) Get(key []byte) ([]byte, error) {
	v, ok := t.changed[string(key)]
	if !ok {
		t.locked(func() { v = t.m.rows[string(key)] })
	}
	if v == nil {
		return nil, kv.ErrNotFound
	}
	return v, nil
}

func (t *memoryTx) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	found := map[string][]byte{}
	t.locked(func() {
		for _, rows := range []map[string][]byte{t.m.rows, t.changed} {
			for k, v := range rows {
				if k >= string(from) && k < string(to) {
					found[k] = v
				}
			}
		}
	})
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if v := found[k]; v != nil && !fn([]byte(k), v) {
			return nil
		}
	}
	return nil
}

func (t *memoryTx) ScanBack([]byte, []byte, func(k, v []byte) bool) error {
	return errors.ErrUnsupported
}

func (t *memoryTx) mine(key []byte) error {
	for _, p := range t.parts {
		if bytes.HasPrefix(key, []byte(p)) {
			return nil
		}
	}
	return fmt.Errorf("write outside the partitions: %q", key)
}

func (t *memoryTx) Set(key, value []byte) error {
	t.changed[string(key)] = append([]byte{}, value...)
	return t.mine(key)
}

func (t *memoryTx) Delete(key []byte) error {
	t.changed[string(key)] = nil
	return t.mine(key)
}
func (t *memoryTx) DeleteRange([]byte, []byte) error { return errors.ErrUnsupported }

// bodies is a body store in memory.
type bodies struct {
	mu       sync.Mutex
	by       map[blob.Ref][]byte
	released int
}

func (b *bodies) add(text string) blob.Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := blob.Ref{Segment: 1, Offset: uint32(len(b.by) + b.released + 1), Length: uint64(len(text))}
	b.by[r] = []byte(text)
	return r
}

// set puts a text in place of a body's, or with nil takes it away.
func (b *bodies) set(r blob.Ref, text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if text == nil {
		delete(b.by, r)
	} else {
		b.by[r] = text
	}
}

func (b *bodies) Create(context.Context) (blob.Writer, error)    { return nil, errors.ErrUnsupported }
func (b *bodies) CreateOwn(context.Context) (blob.Writer, error) { return nil, errors.ErrUnsupported }
func (b *bodies) Open(r blob.Ref) (blob.Body, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, ok := b.by[r]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return body{bytes.NewReader(text)}, nil
}

func (b *bodies) Release(r blob.Ref) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.by, r)
	b.released++
	return nil
}
func (b *bodies) Close() error { return nil }

type body struct{ *bytes.Reader }

func (b body) Size() int64  { return b.Reader.Size() }
func (b body) Close() error { return nil }
