// Package blob keeps message bodies: immutable, written as a stream, read by
// range, released when nothing refers to them any more. This package is the
// interface; engines live below it (blob/segment). Who refers to a body is
// counted by blob/refs.
package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"posthouse/internal/space"
)

// ErrNotFound is the answer for a reference to a body that is not there.
var ErrNotFound = errors.New("blob: body not found")

// ErrCorrupt wraps what verification found wrong with a body.
var ErrCorrupt = errors.New("blob: body is damaged")

// ErrFull means that the disk has no room, or only what is kept for the index;
// nothing was stored, and the store goes on working when there is room again.
var ErrFull = space.ErrFull

// ErrFailed wraps a failed fsync: the store accepts nothing more until it is
// opened again, because what the disk holds is not known.
var ErrFailed = errors.New("blob: store failed")

// Ref names a body for as long as it lives, also when garbage collection has
// moved it.
type Ref struct {
	Segment uint32 // never 0 in a real reference; segments' numbers are never used again
	Offset  uint32 // of the record in that segment
	Length  uint64 // of the body
}

// String is r as operators meet it.
func (r Ref) String() string {
	return fmt.Sprintf("%08x/%d (%d bytes)", r.Segment, r.Offset, r.Length)
}

// RefSize is the length of an encoded Ref.
const RefSize = 16

// IsZero reports whether r refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Append adds r's 16-byte encoding to b.
func (r Ref) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.Segment)
	b = binary.BigEndian.AppendUint32(b, r.Offset)
	return binary.BigEndian.AppendUint64(b, r.Length)
}

// ParseRef reads what Append wrote from the front of b.
func ParseRef(b []byte) (Ref, bool) {
	if len(b) < RefSize {
		return Ref{}, false
	}
	return Ref{
		Segment: binary.BigEndian.Uint32(b),
		Offset:  binary.BigEndian.Uint32(b[4:]),
		Length:  binary.BigEndian.Uint64(b[8:]),
	}, true
}

// Store is an engine. It is safe for concurrent use.
type Store interface {
	// Create begins a body. Its bytes may stay in memory up to a bound set by
	// the engine (some hundred KB) and go to disk beyond it.
	Create(ctx context.Context) (Writer, error)
	// CreateOwn is Create for what the house itself must keep: small and rare. It
	// may go into the reserve of the disk (see package space).
	CreateOwn(ctx context.Context) (Writer, error)
	// Open opens a body for reading; the caller closes it.
	Open(ref Ref) (Body, error)
	// Release says that nothing refers to ref any more. Its space is won back
	// some time later; until then Open may still find it.
	Release(ref Ref) error
	// Close waits for writers in flight and closes the store.
	Close() error
}

// Writer takes one body. It is not safe for concurrent use.
type Writer interface {
	io.Writer
	// Size is the number of bytes written so far.
	Size() int64
	// Commit makes the body durable, many callers sharing one fsync. meta (at
	// most MaxMeta bytes) is stored with it, so that an index can be rebuilt
	// from the bodies alone. After Commit or Abort the writer must not be used.
	Commit(ctx context.Context, meta []byte) (Ref, error)
	// Abort drops the body. It does nothing after Commit.
	Abort()
}

// MaxMeta is the largest meta that Commit takes, in bytes.
const MaxMeta = 1 << 20

// Body is an open body. ReadAt is safe for concurrent use.
type Body interface {
	io.ReaderAt
	Size() int64
	Close() error
}

// Check answers what a Body has found out about itself while it was read:
// ErrCorrupt when all of it was read, from its begin to its end, and it is not what
// was stored. Whoever read less hears nil, and so does who reads from what is no Body.
func Check(body io.ReaderAt) error {
	if b, ok := body.(interface{ Check() error }); ok {
		return b.Check()
	}
	return nil
}
