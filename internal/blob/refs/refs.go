// Package refs counts who refers to each body, in the transactions that make
// and drop the references, and releases bodies that nobody refers to.
package refs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// Shards is the number of partitions that the counts are spread over, so that
// writers of different bodies do not wait for each other.
const Shards = 64

// rowCount is the kind of a row that holds a count: key 'r' segment offset,
// value the count (uvarint) and the length of the body (8 bytes).
const rowCount = 'r'

// ErrUnderflow means that more references were dropped than were added. The
// transaction must not be committed.
var ErrUnderflow = errors.New("refs: more references dropped than added")

// errRow is a row that this package did not write.
var errRow = errors.New("refs: damaged row")

// Counter counts references. Safe for concurrent use.
type Counter struct {
	bodies blob.Store
}

// New counts references to the bodies of one store.
func New(bodies blob.Store) *Counter { return &Counter{bodies: bodies} }

// Partition is where ref is counted; name it among an Update's partitions.
func Partition(ref blob.Ref) kv.Partition { return kv.BodyShard(shard(ref)) }

// Partitions are all partitions that hold counts, in order.
func Partitions() kv.Partitions {
	p := make(kv.Partitions, Shards)
	for i := range p {
		p[i] = kv.BodyShard(uint16(i))
	}
	return p
}

// shard spreads neighbours in the log, whatever lies between them, over all
// shards: splitmix64's finaliser. Stored rows depend on it.
func shard(ref blob.Ref) uint16 {
	h := uint64(ref.Segment)<<32 | uint64(ref.Offset)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return uint16((h ^ h>>31) % Shards)
}

func key(ref blob.Ref) kv.Key {
	return kv.NewKey(Partition(ref)).Byte(rowCount).Uint32(ref.Segment).Uint32(ref.Offset)
}

// AddTx adds n references (n > 0).
func (c *Counter) AddTx(tx kv.Tx, ref blob.Ref, n int) error {
	if n <= 0 || ref.IsZero() {
		return fmt.Errorf("refs: cannot add %d references to %v", n, ref)
	}
	k := key(ref)
	have, err := get(tx, k, ref)
	if err != nil {
		return err
	}
	return tx.Set(k, row(ref, have+uint64(n)))
}

// DropTx takes n references away. When it returns last = true the caller calls
// Release after its transaction is durable. It answers ErrUnderflow when there
// are fewer than n.
func (c *Counter) DropTx(tx kv.Tx, ref blob.Ref, n int) (last bool, err error) {
	k := key(ref)
	have, err := get(tx, k, ref)
	if err != nil {
		return false, err
	}
	if n <= 0 || have < uint64(n) {
		return false, fmt.Errorf("%w: %d of %d for %v", ErrUnderflow, n, have, ref)
	}
	if have == uint64(n) {
		return true, tx.Delete(k)
	}
	return false, tx.Set(k, row(ref, have-uint64(n)))
}

// Release gives a body with no references back to the body store.
func (c *Counter) Release(ref blob.Ref) error { return c.bodies.Release(ref) }

// Count reads the number of references; 0 for an unknown body.
func (c *Counter) Count(r kv.Reader, ref blob.Ref) (int, error) {
	n, err := get(r, key(ref), ref)
	return int(n), err
}

// Live reports whether anything refers to ref; it is what segment.SetLive wants.
func Live(ctx context.Context, store kv.Store, ref blob.Ref) (bool, error) {
	var live bool
	err := store.View(ctx, func(r kv.Reader) error {
		n, err := get(r, key(ref), ref)
		live = n > 0
		return err
	})
	return live, err
}

// Scan calls fn for every body that is referred to, shard by shard, until fn
// returns false. It stops with an error at the first damaged row.
func Scan(r kv.Reader, fn func(ref blob.Ref, count int) bool) error {
	for i := range uint16(Shards) {
		from := kv.NewKey(kv.BodyShard(i)).Byte(rowCount)
		more := true
		var bad error
		err := r.Scan(from, from.End(), func(k, v []byte) bool {
			ref, n, err := parse(k[len(from):], v)
			if err != nil {
				bad = err
				return false
			}
			more = fn(ref, int(n))
			return more
		})
		if err = errors.Join(err, bad); err != nil || !more {
			return err
		}
	}
	return nil
}

func get(r kv.Reader, k kv.Key, ref blob.Ref) (uint64, error) {
	v, err := r.Get(k)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, length, err := parseRow(v)
	if err != nil {
		return 0, err
	}
	if length != ref.Length {
		return 0, fmt.Errorf("%w: %v is counted with length %d", errRow, ref, length)
	}
	return n, nil
}

func row(ref blob.Ref, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(make([]byte, 0, 12), n), ref.Length)
}

func parseRow(v []byte) (n, length uint64, err error) {
	n, w := binary.Uvarint(v)
	if w <= 0 || len(v) != w+8 {
		return 0, 0, errRow
	}
	return n, binary.BigEndian.Uint64(v[w:]), nil
}

// parse reads a row; k is the key behind the kind.
func parse(k, v []byte) (blob.Ref, uint64, error) {
	if len(k) != 8 {
		return blob.Ref{}, 0, errRow
	}
	n, length, err := parseRow(v)
	ref := blob.Ref{Segment: binary.BigEndian.Uint32(k), Offset: binary.BigEndian.Uint32(k[4:]), Length: length}
	return ref, n, err
}
