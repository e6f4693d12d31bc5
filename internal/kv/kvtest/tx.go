package kvtest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"posthouse/internal/kv"
)

func testAtomic(t *testing.T, s kv.Store) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			v := []byte{byte(i)}
			err := s.Update(context.Background(), kv.Partitions{partA, partB}, func(tx kv.Tx) error {
				return errors.Join(tx.Set(key(partA, "x"), v), tx.Set(key(partB, "x"), v))
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		view(t, s, func(r kv.Reader) error {
			a, errA := r.Get(key(partA, "x"))
			b, errB := r.Get(key(partB, "x"))
			if !errors.Is(errA, errB) || !bytes.Equal(a, b) {
				t.Errorf("half an update: %v %v, %v %v", a, errA, b, errB)
			}
			return nil
		})
	}
}

func testErrorLeavesNothing(t *testing.T, s kv.Store) {
	err := s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
		if err := tx.Set(key(partA, "x"), []byte("v")); err != nil {
			return err
		}
		return errBoom
	})
	if !errors.Is(err, errBoom) {
		t.Errorf("Update: %v, want fn's own error", err)
	}
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "", "")
		return nil
	})
	if err := s.View(context.Background(), func(kv.Reader) error { return errBoom }); !errors.Is(err, errBoom) {
		t.Errorf("View: %v, want fn's own error", err)
	}
}

func testCancelled(t *testing.T, s kv.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(ctx, kv.Partitions{partA}, func(tx kv.Tx) error {
		cancel()
		return tx.Set(key(partA, "x"), nil)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled in fn: %v", err)
	}
	ran := false
	err = s.Update(ctx, kv.Partitions{partA}, func(kv.Tx) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("cancelled before: %v, fn ran: %v", err, ran)
	}
	err = s.View(ctx, func(kv.Reader) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("View cancelled before: %v, fn ran: %v", err, ran)
	}
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "", "")
		return nil
	})
}

func testGetNotFound(t *testing.T, s kv.Store) {
	get := func(r kv.Reader) error {
		if v, err := r.Get(key(partA, "none")); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("Get: %q, %v", v, err)
		}
		return nil
	}
	view(t, s, get)
	update(t, s, func(tx kv.Tx) error { return get(tx) }, partA)
	put(t, s, partA, "none")
	update(t, s, func(tx kv.Tx) error { return tx.Delete(key(partA, "none")) }, partA)
	view(t, s, get)
}

func testReadOwnWrites(t *testing.T, s kv.Store) {
	put(t, s, partA, "old", "gone")
	update(t, s, func(tx kv.Tx) error {
		check := func(name, want string) {
			t.Helper()
			v, err := tx.Get(key(partA, name))
			if want == "" {
				if !errors.Is(err, kv.ErrNotFound) {
					t.Errorf("%s: %q, %v, want none", name, v, err)
				}
			} else if err != nil || string(v) != want {
				t.Errorf("%s: %q, %v, want %q", name, v, err, want)
			}
		}
		check("old", "old")
		early, err := tx.Get(key(partA, "old"))
		if err != nil {
			return err
		}
		for _, err := range []error{
			tx.Set(key(partA, "old"), []byte("1")),
			tx.Set(key(partA, "old"), []byte("2")),
			tx.Set(key(partA, "new"), []byte("3")),
			tx.Delete(key(partA, "gone")),
			tx.Delete(key(partA, "never")),
			tx.Set(key(partA, "empty"), nil),
		} {
			if err != nil {
				return err
			}
		}
		check("old", "2")
		check("new", "3")
		check("gone", "")
		check("never", "")
		if v, err := tx.Get(key(partA, "empty")); err != nil || len(v) != 0 {
			t.Errorf("empty value: %q, %v", v, err)
		}
		if string(early) != "old" {
			t.Errorf("a value read earlier changed to %q", early)
		}
		return nil
	}, partA)
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "empty= new=3 old=2 ", "old=2 new=3 empty= ")
		return nil
	})
}

func testScanMerges(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "c", "e", "g", "i")
	update(t, s, func(tx kv.Tx) error {
		for _, err := range []error{
			tx.Set(key(partA, "b"), []byte("new")),
			tx.Set(key(partA, "c"), []byte("changed")),
			tx.Delete(key(partA, "a")),
			tx.DeleteRange(key(partA, "e"), key(partA, "h")),
			tx.Set(key(partA, "f"), []byte("after the range")),
		} {
			if err != nil {
				return err
			}
		}
		want(t, tx, partA,
			"b=new c=changed f=after the range i=i ",
			"i=i f=after the range c=changed b=new ")
		return nil
	}, partA)
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA,
			"b=new c=changed f=after the range i=i ",
			"i=i f=after the range c=changed b=new ")
		return nil
	})
}

func testWritesDuringScan(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "b", "c")
	update(t, s, func(tx kv.Tx) error {
		k := kv.NewKey(partA)
		var werr error
		seen := 0
		err := tx.Scan(k, k.End(), func(key, value []byte) bool {
			seen++
			next := append(bytes.Clone(key), 'x')
			werr = errors.Join(werr, tx.Set(next, bytes.Repeat(value, 1000)), tx.Delete(key))
			return seen < 10
		})
		if seen != 3 {
			t.Errorf("a scan that writes saw %d rows, want 3", seen)
		}
		return errors.Join(err, werr)
	}, partA)
	view(t, s, func(r kv.Reader) error {
		n := 0
		k := kv.NewKey(partA)
		err := r.Scan(k, k.End(), func(_, v []byte) bool {
			n++
			if len(v) != 1000 {
				t.Errorf("value of %d bytes", len(v))
			}
			return true
		})
		if n != 3 {
			t.Errorf("%d rows after it, want 3", n)
		}
		return err
	})
}

func testScanBounds(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "b", "c")
	put(t, s, partB, "z")
	for _, c := range []struct{ from, to, want string }{
		{"a", "c", "a=a b=b "},
		{"b", "b", ""},
		{"c", "a", ""},
		{"aa", "bb", "b=b "},
		{"c", "zz", "c=c "},
		{"0", "1", ""},
	} {
		view(t, s, func(r kv.Reader) error {
			got, err := rows(r, key(partA, c.from), key(partA, c.to), false)
			if got != c.want {
				t.Errorf("[%s, %s): got %q, want %q", c.from, c.to, got, c.want)
			}
			return err
		})
	}
	view(t, s, func(r kv.Reader) error {
		got, err := rows(r, nil, nil, false)
		if got != "a=a b=b c=c z=z " || err != nil {
			t.Errorf("no bounds: %q, %v", got, err)
		}
		got, err = rows(r, key(partA, "c"), nil, true)
		if got != "z=z c=c " || err != nil {
			t.Errorf("no upper bound, backwards: %q, %v", got, err)
		}
		return nil
	})
}

func testScanStops(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "b", "c")
	view(t, s, func(r kv.Reader) error {
		n := 0
		stop := func(_, _ []byte) bool { n++; return n%2 == 1 }
		k := kv.NewKey(partA)
		err := errors.Join(r.Scan(k, k.End(), stop), r.ScanBack(k, k.End(), stop))
		if n != 4 {
			t.Errorf("two scans that stop at their second row saw %d rows", n)
		}
		return err
	})
}

func testDeleteRange(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "b", "c", "d")
	put(t, s, partB, "a")
	update(t, s, func(tx kv.Tx) error {
		return errors.Join(
			tx.DeleteRange(key(partA, "b"), key(partA, "d")),
			tx.DeleteRange(key(partA, "d"), key(partA, "a")), // nothing
		)
	}, partA)
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "a=a d=d ", "d=d a=a ")
		return nil
	})
	k := kv.NewKey(partA)
	update(t, s, func(tx kv.Tx) error { return tx.DeleteRange(k, k.End()) }, partA)
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "", "")
		want(t, r, partB, "a=a ", "a=a ")
		return nil
	})
}

func testSnapshot(t *testing.T, s kv.Store) {
	put(t, s, partA, "a", "b")
	view(t, s, func(r kv.Reader) error {
		update(t, s, func(tx kv.Tx) error {
			return errors.Join(tx.Delete(key(partA, "a")), tx.Set(key(partA, "b"), []byte("new")),
				tx.Set(key(partA, "c"), []byte("new")))
		}, partA)
		want(t, r, partA, "a=a b=b ", "b=b a=a ")
		if v, err := r.Get(key(partA, "b")); err != nil || string(v) != "b" {
			t.Errorf("Get: %q, %v", v, err)
		}
		return nil
	})
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "b=new c=new ", "c=new b=new ")
		return nil
	})
}

func testCopies(t *testing.T, s kv.Store) {
	update(t, s, func(tx kv.Tx) error {
		k, v := key(partA, "a"), []byte("value")
		if err := tx.Set(k, v); err != nil {
			return err
		}
		clear(k)
		clear(v)
		return nil
	}, partA)
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "a=value ", "a=value ")
		return nil
	})
}
