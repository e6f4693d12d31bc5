// Package kv is the house's state apart from message bodies: an ordered,
// transactional key-value store. This package is the interface and its keys;
// engines live below it (kv/pebble).
//
// Every key begins with its partition. A partition is what an engine must be
// able to keep in one place: an account, a queue shard, the directory. What
// every engine must carry: keys to 1 KB, values to 64 KB, batches of 1 MB
// typically and 8 MB at most, scans that can be restarted, no snapshot held for
// more than some seconds.
package kv

import (
	"context"
	"errors"

	"posthouse/internal/space"
)

// ErrNotFound is what Get answers for a key that is not there.
var ErrNotFound = errors.New("kv: not found")

// ErrClosed is what every call answers after Close.
var ErrClosed = errors.New("kv: closed")

// ErrFailed wraps the first failed write or sync of a store. From then on every
// Update fails with it: what the disk holds is not known any more.
var ErrFailed = errors.New("kv: store failed")

// ErrFull is what Update answers while the disk has no room for its writes.
// Nothing was written, and the store goes on working when there is room again.
var ErrFull = space.ErrFull

// ErrPartition is what a Tx answers for a write outside the partitions that the
// Update named.
var ErrPartition = errors.New("kv: write outside the named partitions")

// ErrTooLarge is what a Tx answers for a key, value or batch over the limits.
var ErrTooLarge = errors.New("kv: too large")

// Limits of a key, a value, and all keys and values of one Update, in bytes.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
	MaxBatch = 8 << 20
)

// Store is an engine. It is safe for concurrent use.
type Store interface {
	// View runs fn on one consistent snapshot. It may show what another
	// goroutine's Update has applied and not yet made durable; see Sync.
	// fn should take no more than some seconds.
	View(ctx context.Context, fn func(Reader) error) error

	// Update runs fn and makes its writes atomic: durable when it returns nil,
	// absent when it returns an error (but see ErrFailed). Writers of a
	// partition run one after another; fn sees all that earlier ones wrote.
	// fn may run again, so it must not have effects of its own. A write outside
	// parts is an error, also when fn overlooks it. What fn reads outside parts
	// may change while it runs. An Update inside fn may wait for ever.
	//
	// When ctx ends before the writes are applied nothing is written; after that
	// Update waits for the disk whatever ctx says. An Update that writes nothing
	// returns when all that fn can have read is durable.
	Update(ctx context.Context, parts Partitions, fn func(Tx) error) error

	// Sync returns when everything that a View begun before the call could have
	// seen is durable. Call it between reading state and showing it to a client.
	Sync(ctx context.Context) error

	// Watch returns a channel that holds a value after something in part became
	// durable (from any node; many changes may share one value), and a function
	// that ends the watch.
	Watch(part Partition) (<-chan struct{}, func())

	// Close waits for Updates in flight and releases the store.
	Close() error
}

// Reader reads one consistent state. Slices it hands out are valid until fn
// returns (in Scan: until the callback returns) and must not be changed.
type Reader interface {
	// Get answers ErrNotFound for a key that is not there.
	Get(key []byte) ([]byte, error)
	// Scan calls fn for the keys in [from, to) in order until fn returns false.
	// A nil bound is the end of all keys on that side. What fn writes during a
	// scan does not show in it.
	Scan(from, to []byte, fn func(key, value []byte) bool) error
	// ScanBack is Scan from the last key to the first.
	ScanBack(from, to []byte, fn func(key, value []byte) bool) error
}

// Tx is a Reader that sees its own writes.
type Tx interface {
	Reader
	// Set copies key and value.
	Set(key, value []byte) error
	Delete(key []byte) error
	// DeleteRange removes the keys in [from, to).
	DeleteRange(from, to []byte) error
}
