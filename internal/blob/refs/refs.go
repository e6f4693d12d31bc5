// Package refs counts who refers to each body, in the transactions that make
// and drop the references, and releases bodies that nobody refers to.
package refs

import (
	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// Counter counts references. Safe for concurrent use.
type Counter struct {
	bodies blob.Store
}

// New counts references to the bodies of one store.
func New(bodies blob.Store) *Counter { return &Counter{bodies: bodies} }

// Partition is where ref is counted; name it among an Update's partitions.
func Partition(ref blob.Ref) kv.Partition { panic("not built") }

// AddTx adds n references (n > 0).
func (c *Counter) AddTx(tx kv.Tx, ref blob.Ref, n int) error { panic("not built") }

// DropTx takes n references away. When it returns last = true the caller calls
// Release after its transaction is durable.
func (c *Counter) DropTx(tx kv.Tx, ref blob.Ref, n int) (last bool, err error) { panic("not built") }

// Release gives a body with no references back to the body store.
func (c *Counter) Release(ref blob.Ref) error { return c.bodies.Release(ref) }

// Count reads the number of references; 0 for an unknown body.
func (c *Counter) Count(r kv.Reader, ref blob.Ref) (int, error) { panic("not built") }
