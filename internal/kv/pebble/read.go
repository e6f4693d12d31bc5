package pebble

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"posthouse/internal/kv"
)

// source is what a snapshot and an indexed batch have in common.
type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIterWithContext(ctx context.Context, o *pebble.IterOptions) (*pebble.Iterator, error)
}

// reader is a kv.Reader on a snapshot or a batch.
type reader struct {
	ctx   context.Context
	src   source
	arena []byte // values handed out by Get, valid until the reader ends
	ended bool
}

var errEnded = errors.New("kv: used after its function returned")

// maxArena bounds the memory that a reader keeps for its successor.
const maxArena = 16 << 10

func (r *reader) Get(key []byte) ([]byte, error) {
	if r.ended {
		return nil, errEnded
	}
	v, closer, err := r.src.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, kv.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	// Copied, since keeping Pebble's closers would keep an iterator per Get.
	from := len(r.arena)
	r.arena = append(r.arena, v...)
	return r.arena[from:len(r.arena):len(r.arena)], closer.Close()
}

func (r *reader) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	return r.scan(from, to, fn, (*pebble.Iterator).First, (*pebble.Iterator).Next)
}

func (r *reader) ScanBack(from, to []byte, fn func(key, value []byte) bool) error {
	return r.scan(from, to, fn, (*pebble.Iterator).Last, (*pebble.Iterator).Prev)
}

// ctxEvery is how many rows a scan reads between looks at its context.
const ctxEvery = 256

func (r *reader) scan(from, to []byte, fn func(key, value []byte) bool, first, next func(*pebble.Iterator) bool) (err error) {
	if r.ended {
		return errEnded
	}
	if to != nil && bytes.Compare(from, to) >= 0 {
		return nil
	}
	it, err := r.src.NewIterWithContext(r.ctx, &pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	n := 0
	for ok := first(it); ok; ok = next(it) {
		if n++; n%ctxEvery == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !fn(it.Key(), v) {
			return nil
		}
	}
	return nil // Close reports what the iterator met
}
