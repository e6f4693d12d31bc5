package segment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
)

// ledger is what was acknowledged: what must be there, and what may.
type ledger struct {
	mu   sync.Mutex
	live map[blob.Ref][]byte
	dead map[blob.Ref]bool // released; may be there or not
}

func newLedger() *ledger {
	return &ledger{live: make(map[blob.Ref][]byte), dead: make(map[blob.Ref]bool)}
}

func (l *ledger) add(ref blob.Ref, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[ref] = body
}

// refs are the live bodies in the order of the log.
func (l *ledger) refs() []blob.Ref {
	return slices.SortedFunc(maps.Keys(l.live), func(a, b blob.Ref) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Offset, b.Offset))
	})
}

// take picks a live body for its release.
func (l *ledger) take() (blob.Ref, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ref := range l.live {
		delete(l.live, ref)
		l.dead[ref] = true
		return ref, true
	}
	return blob.Ref{}, false
}

// check compares a store with the ledger.
func (l *ledger) check(s *Store) error {
	for ref, want := range l.live {
		got, err := read(s, ref)
		if err != nil {
			return fmt.Errorf("lost %v: %w", ref, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%v holds other bytes", ref)
		}
		if err := s.Verify(context.Background(), ref); err != nil {
			return err
		}
	}
	for ref := range l.dead {
		if err := s.Verify(context.Background(), ref); err != nil && !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("released %v: %w", ref, err)
		}
	}
	seen := make(map[blob.Ref]bool)
	err := s.Records(context.Background(), func(r Record) error {
		if r.Err != nil {
			return nil // never acknowledged, or it would be missed above
		}
		if seen[r.Ref] {
			return fmt.Errorf("%v came twice", r.Ref)
		}
		seen[r.Ref] = true
		if want, ok := l.live[r.Ref]; ok {
			if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("%v iterated over with other bytes: %w", r.Ref, err)
			}
		}
		return nil
	})
	for ref := range l.live {
		if err == nil && !seen[ref] {
			err = fmt.Errorf("%v was not iterated over", ref)
		}
	}
	return err
}

// TestPowerLoss cuts the power in the middle of commits, releases and
// collection, and looks at what may be left of the disk: whatever was
// acknowledged is there, and the store goes on, several times over.
func TestPowerLoss(t *testing.T) {
	root := memDir(t)
	rapid.Check(t, func(t *rapid.T) {
		defer os.RemoveAll(root) // a disk in memory is small
		seed := rapid.Uint64().Draw(t, "seed")
		ops := rapid.IntRange(1, 400).Draw(t, "ops")
		size := rapid.SampledFrom([]int{200, 2000, 9000}).Draw(t, "size")
		disk := faultfs.NewDisk()
		inj := &faultfs.Injector{FS: disk}
		inj.Fault(func(op faultfs.Op) error {
			if op.Seq >= ops {
				disk.PowerOff()
				return faultfs.ErrPowerOff
			}
			return nil
		})
		opt := Options{FS: inj, SegmentSize: 16 << 10, MemoryLimit: 8 << 10, Clock: newStillClock()}
		l := newLedger()
		s, err := Open(filepath.Join(root, "before"), opt)
		if err == nil {
			exercise(s, l, seed, size)
			_ = s.Close()
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		for again := range 3 {
			after := filepath.Join(root, fmt.Sprint("after", again))
			if err := disk.Materialise(after, rng); err != nil {
				t.Fatal(err)
			}
			s, err := Open(after, Options{FS: faultfs.NewDisk(), SegmentSize: 16 << 10, MemoryLimit: 8 << 10, Clock: newStillClock()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := l.check(s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.GC(context.Background()); err != nil {
				t.Fatal(err)
			}
			ref, err := tryPut(s, []byte("life goes on"), "m")
			if _, old := l.live[ref]; old || l.dead[ref] || err != nil {
				t.Fatalf("new body %v, given before: %v, err %v", ref, old, err)
			}
			if err := l.check(s); err != nil {
				t.Fatalf("after collection: %v", err)
			}
		}
	})
}

// exercise commits and releases from several goroutines and collects, until
// the disk fails or enough was done.
func exercise(s *Store, l *ledger, seed uint64, size int) {
	var wg sync.WaitGroup
	for w := range uint64(3) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, w))
			for i := range uint64(40) {
				body := pattern(seed+w*1000+i, rng.IntN(size))
				ref, err := tryPut(s, body, "meta")
				if err != nil {
					return
				}
				l.add(ref, body)
				if rng.IntN(3) > 0 {
					if ref, ok := l.take(); ok {
						_ = s.Release(ref)
					}
				}
				if w == 0 && i%8 == 7 {
					s.flushDead()
					if _, err := s.GC(context.Background()); err != nil {
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
