package kvtest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"posthouse/internal/kv"
)

// refused checks that write fails with want, and that the Update fails with it
// even when fn takes no notice.
func refused(t *testing.T, s kv.Store, what string, want error, write func(kv.Tx) error) {
	t.Helper()
	err := s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
		if err := tx.Set(key(partA, "beside"), nil); err != nil {
			t.Errorf("Set: %v", err)
		}
		if err := write(tx); !errors.Is(err, want) {
			t.Errorf("%s: write answers %v, want %v", what, err, want)
		}
		return nil
	})
	if !errors.Is(err, want) {
		t.Errorf("%s: Update answers %v, want %v", what, err, want)
	}
	view(t, s, func(r kv.Reader) error {
		if _, err := r.Get(key(partA, "beside")); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("%s: a refused Update left something: %v", what, err)
		}
		return nil
	})
}

func testOutside(t *testing.T, s kv.Store) {
	a := kv.NewKey(partA)
	for what, write := range map[string]func(kv.Tx) error{
		"Set":               func(tx kv.Tx) error { return tx.Set(key(partB, "x"), nil) },
		"Delete":            func(tx kv.Tx) error { return tx.Delete(key(partB, "x")) },
		"Set before all":    func(tx kv.Tx) error { return tx.Set([]byte("A"), nil) },
		"Set after all":     func(tx kv.Tx) error { return tx.Set([]byte("Z"), nil) },
		"empty key":         func(tx kv.Tx) error { return tx.Set(nil, nil) },
		"half a partition":  func(tx kv.Tx) error { return tx.Set([]byte(partA)[:2], nil) },
		"range elsewhere":   func(tx kv.Tx) error { return tx.DeleteRange(key(partB, "x"), key(partB, "y")) },
		"range too far":     func(tx kv.Tx) error { return tx.DeleteRange(a, key(partB, "x")) },
		"range without end": func(tx kv.Tx) error { return tx.DeleteRange(a, nil) },
		"range before":      func(tx kv.Tx) error { return tx.DeleteRange([]byte("A"), a.End()) },
	} {
		refused(t, s, what, kv.ErrPartition, write)
	}
	err := s.Update(context.Background(), nil, func(tx kv.Tx) error { return tx.Set(key(partA, "x"), nil) })
	if !errors.Is(err, kv.ErrPartition) {
		t.Errorf("a write without partitions: %v", err)
	}
	ran := false
	err = s.Update(context.Background(), kv.Partitions{""}, func(kv.Tx) error { ran = true; return nil })
	if !errors.Is(err, kv.ErrPartition) || ran {
		t.Errorf("the empty partition: %v, fn ran: %v", err, ran)
	}
}

func testLimits(t *testing.T, s kv.Store) {
	longest := append(kv.NewKey(partA), bytes.Repeat([]byte{0xff}, kv.MaxKey-len(partA))...)
	largest := bytes.Repeat([]byte("v"), kv.MaxValue)
	update(t, s, func(tx kv.Tx) error { return tx.Set(longest, largest) }, partA)
	view(t, s, func(r kv.Reader) error {
		v, err := r.Get(longest)
		if !bytes.Equal(v, largest) {
			t.Errorf("the largest row: %d bytes", len(v))
		}
		return err
	})
	refused(t, s, "key", kv.ErrTooLarge, func(tx kv.Tx) error { return tx.Set(append(longest, 0), nil) })
	refused(t, s, "deleted key", kv.ErrTooLarge, func(tx kv.Tx) error { return tx.Delete(append(longest, 0)) })
	refused(t, s, "value", kv.ErrTooLarge, func(tx kv.Tx) error { return tx.Set(longest, append(largest, 0)) })

	// Fill one batch nearly to its limit; it must go through, and a row more not.
	fill := func(tx kv.Tx, total int) (err error) {
		for i := uint32(0); total > 0 && err == nil; i++ {
			k := kv.NewKey(partA).Byte('b').Uint32(i)
			n := max(0, min(kv.MaxValue, total-len(k)))
			err = tx.Set(k, largest[:n])
			total -= len(k) + n
		}
		return err
	}
	update(t, s, func(tx kv.Tx) error { return fill(tx, kv.MaxBatch-100) }, partA)
	refused(t, s, "batch", kv.ErrTooLarge, func(tx kv.Tx) error { return fill(tx, kv.MaxBatch) })
}
