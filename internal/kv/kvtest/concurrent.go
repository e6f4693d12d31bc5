package kvtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"posthouse/internal/kv"
)

// increment adds one to the counter name in p.
func increment(tx kv.Tx, p kv.Partition, name string) error {
	var n uint64
	v, err := tx.Get(key(p, name))
	switch {
	case err == nil:
		n = binary.BigEndian.Uint64(v)
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	return tx.Set(key(p, name), binary.BigEndian.AppendUint64(nil, n+1))
}

func counter(t *testing.T, s kv.Store, p kv.Partition, name string) (n uint64) {
	t.Helper()
	view(t, s, func(r kv.Reader) error {
		v, err := r.Get(key(p, name))
		if err != nil {
			return fmt.Errorf("counter %s: %w", name, err)
		}
		n = binary.BigEndian.Uint64(v)
		return nil
	})
	return n
}

// parallel runs fn in n goroutines and waits for them.
func parallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func testExclusion(t *testing.T, s kv.Store) {
	const workers, rounds = 16, 25
	parallel(workers, func(int) {
		for range rounds {
			err := s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
				return increment(tx, partA, "n")
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	if n := counter(t, s, partA, "n"); n != workers*rounds {
		t.Errorf("counted %d, want %d", n, workers*rounds)
	}
}

func testOverlapping(t *testing.T, s kv.Store) {
	const workers, rounds, shards = 12, 25, 5
	var total atomic.Uint64
	parallel(workers, func(i int) {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		for range rounds {
			var parts kv.Partitions // unordered, with doubles
			for range 4 {
				parts = append(parts, kv.QueueShard(uint16(rnd.IntN(shards))))
			}
			err := s.Update(context.Background(), parts, func(tx kv.Tx) error {
				for _, p := range parts {
					if err := increment(tx, p, "n"); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
			total.Add(uint64(len(parts)))
		}
	})
	var sum uint64
	for i := range uint16(shards) {
		sum += counter(t, s, kv.QueueShard(i), "n")
	}
	if sum != total.Load() {
		t.Errorf("counted %d, want %d", sum, total.Load())
	}
}

// testSerial looks at whether writers of one partition are ever inside fn
// together, and whether each sees all that went before.
func testSerial(t *testing.T, s kv.Store) {
	var inside atomic.Int32
	var last uint64 // written only under the partition
	parallel(8, func(int) {
		for range 25 {
			err := s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
				if inside.Add(1) != 1 {
					t.Error("two writers of one partition at once")
				}
				defer inside.Add(-1)
				if v, err := tx.Get(key(partA, "n")); err == nil && binary.BigEndian.Uint64(v) != last {
					t.Errorf("saw %d, want %d", binary.BigEndian.Uint64(v), last)
				}
				last++
				return tx.Set(key(partA, "n"), binary.BigEndian.AppendUint64(nil, last))
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
}

func testLockContext(t *testing.T, s kv.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(context.Background(), kv.Partitions{partB}, func(tx kv.Tx) error {
		waiting := make(chan error, 1)
		go func() {
			waiting <- s.Update(ctx, kv.Partitions{partA, partB}, func(kv.Tx) error {
				t.Error("ran although the partition was taken")
				return nil
			})
		}()
		// It gives up whether it has begun to wait by now or not.
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for a partition: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("Update: %v", err)
	}
	put(t, s, partA, "free") // it let go of what it had
	put(t, s, partB, "free")
}

func testPanic(t *testing.T, s kv.Store) {
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of fn was swallowed")
			}
		}()
		_ = s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
			_ = tx.Set(key(partA, "x"), nil)
			panic("fn")
		})
	}()
	view(t, s, func(r kv.Reader) error {
		want(t, r, partA, "", "")
		return nil
	})
	put(t, s, partA, "next")
}

func testReadOnlyUpdate(t *testing.T, s kv.Store) {
	put(t, s, partA, "a")
	update(t, s, func(tx kv.Tx) error {
		want(t, tx, partA, "a=a ", "a=a ")
		return nil
	}, partA)
	update(t, s, func(tx kv.Tx) error {
		want(t, tx, partA, "a=a ", "a=a ")
		return nil
	})
}

func testSync(t *testing.T, s kv.Store) {
	ctx := context.Background()
	if err := s.Sync(ctx); err != nil {
		t.Errorf("Sync of an empty store: %v", err)
	}
	parallel(8, func(i int) {
		put(t, s, kv.QueueShard(uint16(i)), "x")
		if err := s.Sync(ctx); err != nil {
			t.Errorf("Sync: %v", err)
		}
	})
}

// taken reports whether a value waits in c, and takes it.
func taken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func testWatchWakes(t *testing.T, s kv.Store) {
	c, cancel := s.Watch(partA)
	defer cancel()
	d, cancel2 := s.Watch(partA)
	defer cancel2()
	if taken(c) {
		t.Error("woken by nothing")
	}
	for range 3 {
		put(t, s, partA, "x")
		<-c
		<-d
	}
	update(t, s, func(tx kv.Tx) error { return tx.DeleteRange(key(partA, "a"), key(partA, "z")) }, partA)
	<-c
}

func testWatchCoalesces(t *testing.T, s kv.Store) {
	c, cancel := s.Watch(partA)
	defer cancel()
	for range 5 {
		put(t, s, partA, "x") // nobody takes the values; nothing blocks
	}
	<-c
	// Every Update has returned; at most one more value may be on its way.
	put(t, s, partA, "y")
	<-c
	if taken(c) {
		t.Error("more than one value waits")
	}
}

func testWatchOther(t *testing.T, s kv.Store) {
	c, cancel := s.Watch(partB)
	defer cancel()
	put(t, s, partA, "x")
	update(t, s, func(tx kv.Tx) error { return tx.Set(key(partA, "x"), nil) }, partA, partB)
	_ = s.Update(context.Background(), kv.Partitions{partB}, func(tx kv.Tx) error {
		return errors.Join(tx.Set(key(partB, "x"), nil), errBoom)
	})
	update(t, s, func(kv.Tx) error { return nil }, partB)
	// A later change of another watched partition comes after all of these.
	d, cancel2 := s.Watch(partA)
	defer cancel2()
	put(t, s, partA, "y")
	<-d
	if taken(c) {
		t.Error("woken although its partition did not change")
	}
}

func testWatchCancel(t *testing.T, s kv.Store) {
	c, cancel := s.Watch(partA)
	d, cancel2 := s.Watch(partA)
	defer cancel2()
	cancel()
	cancel()
	put(t, s, partA, "x")
	<-d
	if taken(c) {
		t.Error("woken after the watch ended")
	}
}
