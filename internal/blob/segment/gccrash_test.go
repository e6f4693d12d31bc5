package segment

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
)

var smallSegments = Options{SegmentSize: 8 << 10, MemoryLimit: 4 << 10}

// generations fills a store with bodies of which every third lives, collects,
// and fills it again, so that the next round moves records for the second time.
func generations(t *testing.T, s *Store) *ledger {
	t.Helper()
	l := newLedger()
	for seed := range uint64(60) {
		body := pattern(seed, 900)
		ref := put(t, s, body, "meta")
		if seed%3 == 0 {
			l.add(ref, body)
			continue
		}
		l.dead[ref] = true
		if err := s.Release(ref); err != nil {
			t.Fatal(err)
		}
		if seed == 30 {
			collect(t, s)
		}
	}
	// Half of what moved in the first round dies now, and some of the rest.
	for i, ref := range l.refs() {
		if i%2 == 1 {
			delete(l.live, ref)
			l.dead[ref] = true
			if err := s.Release(ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	s.flushDead()
	return l
}

// TestCrashInCollection cuts the power before each operation of a round of
// collection. Nothing that lives is lost, and once all is released nothing
// is left behind.
func TestCrashInCollection(t *testing.T) {
	for at := 1; ; at++ {
		disk := faultfs.NewDisk()
		inj := &faultfs.Injector{FS: disk}
		opt := smallSegments
		opt.FS, opt.Clock = inj, newStillClock()
		root := memDir(t)
		s := openStore(t, filepath.Join(root, "before"), opt)
		l := generations(t, s)
		start := inj.Ops()
		inj.Fault(func(op faultfs.Op) error {
			if op.Seq >= start+at {
				disk.PowerOff()
				return faultfs.ErrPowerOff
			}
			return nil
		})
		_, gcErr := s.GC(context.Background())
		_ = s.Close()
		rng := rand.New(rand.NewPCG(uint64(at), 1))
		for range 3 {
			dir := filepath.Join(root, "after")
			if err := disk.Materialise(dir, rng); err != nil {
				t.Fatal(err)
			}
			afterCrash(t, dir, l, at)
			remove(t, dir)
		}
		remove(t, root)
		if gcErr == nil {
			if at < 20 {
				t.Errorf("a whole round took %d operations: it moved nothing", at)
			}
			return
		}
	}
}

func afterCrash(t *testing.T, dir string, l *ledger, at int) {
	t.Helper()
	opt := smallSegments
	opt.Clock = clock.NewFake(time.Now().Add(24 * time.Hour)) // past the grace
	opt.FS = faultfs.NewDisk()                                // which has no slow syncs
	s := openStore(t, dir, opt)
	defer s.Close()
	if err := l.check(s); err != nil {
		t.Fatalf("crash before operation %d: %v", at, err)
	}
	s.SetLive(func(ref blob.Ref) (bool, error) { _, ok := l.live[ref]; return ok, nil })
	for range 2 { // copies may lie behind what leads to them
		collect(t, s)
		if err := l.check(s); err != nil {
			t.Fatalf("crash before operation %d, after collection: %v", at, err)
		}
	}
	s.SetLive(func(blob.Ref) (bool, error) { return false, nil })
	for ref := range l.live {
		if err := s.Release(ref); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Audit(context.Background(), func(func(blob.Ref) bool) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	collect(t, s)
	// What the power loss tore a hole into stays, for nobody can tell the
	// unacknowledged from the acknowledged in it.
	kept := s.Stats().Kept
	for _, name := range names(t, dir) {
		switch {
		case name == stateName || name == lockName || kept > 0 && filepath.Ext(name) != segSuffix:
		case kept > 0:
			kept--
		default:
			t.Fatalf("crash before operation %d: %s is left for ever", at, name)
		}
	}
}

// TestReleaseWhileMoving releases a body between the copy and the forwarding.
func TestReleaseWhileMoving(t *testing.T) {
	inj := new(faultfs.Injector)
	opt := smallSegments
	opt.FS = inj
	s := openStore(t, t.TempDir(), opt)
	l := generations(t, s)
	released := make(map[blob.Ref]bool)
	inj.Fault(func(op faultfs.Op) error {
		if op.Kind == faultfs.OpCreate && filepath.Ext(op.Name) == tmpSuffix && op.Name != stateName+tmpSuffix {
			for ref := range l.live {
				if !released[ref] {
					released[ref] = true
					if err := s.Release(ref); err != nil {
						t.Error(err)
					}
				}
			}
		}
		return nil
	})
	if st := collect(t, s); st.Moved == 0 {
		t.Fatal("nothing was moved")
	}
	inj.Fault(nil)
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if st := s.Stats(); st.Segments != 0 {
		t.Errorf("%d segments with %d of %d bytes known dead", st.Segments, st.DeadBytes, st.Bytes)
	}
}

// TestReadersDuringCollection reads all the time, with few files open, while
// everything moves; open bodies stay readable when their segment is gone.
func TestReadersDuringCollection(t *testing.T) {
	opt := smallSegments
	opt.OpenFiles = 2
	s := openStore(t, memDir(t), opt)
	var mu sync.Mutex
	live := make(map[blob.Ref]uint64)
	for seed := range uint64(80) {
		live[put(t, s, pattern(seed, 900), "m")] = seed
	}
	stop := make(chan struct{})
	var wg, begun sync.WaitGroup
	begun.Add(3)
	for range 3 {
		wg.Go(func() {
			begin := sync.OnceFunc(begun.Done)
			defer begin()
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				var ref blob.Ref
				var seed uint64
				for ref, seed = range live {
					break
				}
				mu.Unlock()
				got, err := read(s, ref)
				begin()
				if err != nil || string(got) != string(pattern(seed, 900)) {
					mu.Lock()
					_, still := live[ref]
					mu.Unlock()
					if still || !errors.Is(err, blob.ErrNotFound) {
						t.Errorf("read %v: %v", ref, err)
						return
					}
				}
			}
		})
	}
	begun.Wait()
	moved := 0
	for round := range uint64(10) {
		i := 0
		mu.Lock()
		var gone []blob.Ref
		for ref := range live {
			if i++; i%3 != 0 {
				delete(live, ref)
				gone = append(gone, ref)
			}
		}
		mu.Unlock()
		for _, ref := range gone {
			_ = s.Release(ref)
		}
		for n := range uint64(50) {
			seed := 1000 + round*100 + n
			ref := put(t, s, pattern(seed, 900), "m")
			mu.Lock()
			live[ref] = seed
			mu.Unlock()
		}
		moved += collect(t, s).Moved
	}
	close(stop)
	wg.Wait()
	if moved == 0 {
		t.Error("nothing was moved")
	}
}

func TestOpenBodyOutlivesItsSegment(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{MemoryLimit: 1 << 10})
	want := pattern(1, 100_000)
	ref := put(t, s, want, "m") // a segment of its own
	b, err := s.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Release(ref)
	if st := collect(t, s); st.Segments != 1 {
		t.Fatalf("collected %+v", st)
	}
	if _, err := s.Open(ref); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("open after collection: %v", err)
	}
	got := make([]byte, len(want))
	if n, err := b.ReadAt(got, 0); n != len(want) || err != nil || string(got) != string(want) {
		t.Errorf("read %d of an open body: %v", n, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.ReadAt(got, 0); err == nil {
		t.Error("read after Close")
	}
}

// TestLiveHasTheLastWord contradicts the dead set in both directions: released
// bodies that are referred to stay, and unreferenced ones go, but not while
// their first reference may still be on its way.
func TestLiveHasTheLastWord(t *testing.T) {
	clk := newStillClock()
	opt := smallSegments
	opt.Clock = clk
	s := openStore(t, t.TempDir(), opt)
	var refs []blob.Ref
	for seed := range uint64(6) {
		refs = append(refs, put(t, s, pattern(seed, 1000), "m"))
	}
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 2, 3} {
		_ = s.Release(refs[i])
	}
	// 0 is referred to although released; 5 is not although it never was.
	s.SetLive(func(ref blob.Ref) (bool, error) { return ref == refs[0] || ref == refs[4], nil })
	collect(t, s)
	for _, i := range []int{0, 4, 5} { // 5 is too young to be taken for garbage
		wantBody(t, s, refs[i], pattern(uint64(i), 1000))
	}
	clk.Advance(2 * time.Hour)
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	_ = s.Release(refs[0])
	clk.Advance(2 * time.Hour)
	err := s.Audit(context.Background(), func(yield func(blob.Ref) bool) error { yield(refs[4]); return nil })
	if err != nil {
		t.Fatal(err)
	}
	s.SetLive(func(ref blob.Ref) (bool, error) { return ref == refs[4], nil })
	collect(t, s)
	wantBody(t, s, refs[4], pattern(4, 1000))
	for _, i := range []int{0, 5} {
		if _, err := s.Open(refs[i]); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("body %d is still there: %v", i, err)
		}
	}
}

// TestCollectorKeepsOutOfFullDisk aborts a move for lack of room without losing
// anything, and finishes it later without a trace of the first attempt.
func TestCollectorKeepsOutOfFullDisk(t *testing.T) {
	inj := new(faultfs.Injector)
	opt := smallSegments
	opt.FS = inj
	s := openStore(t, t.TempDir(), opt)
	l := generations(t, s)
	for room := int64(0); room < 12_000; room += 700 {
		inj.Room(room)
		_, _ = s.GC(context.Background())
		if err := l.check(s); err != nil {
			t.Fatalf("room %d: %v", room, err)
		}
	}
	inj.Room(-1)
	if s.Stats().Failed {
		t.Fatal("a full disk failed the store")
	}
	collect(t, s)
	if err := l.check(s); err != nil {
		t.Fatal(err)
	}
	for ref := range l.live {
		_ = s.Release(ref)
	}
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if st := s.Stats(); st.Segments != 0 {
		t.Errorf("%+v left when everything was released", st)
	}
}
