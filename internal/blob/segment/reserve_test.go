package segment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
	"posthouse/internal/space"
)

// scarce is a store on a disk with a reserve of 1 MB.
func scarce(t *testing.T, disk *faultfs.Injector) (*Store, string, func()) {
	t.Helper()
	clk := newStillClock()
	dir := t.TempDir()
	keep := space.New(space.Options{FS: disk, Clock: clk, Dirs: []string{dir}, Reserve: 1 << 20})
	s := openStore(t, dir, Options{FS: disk, Clock: clk, MemoryLimit: 64 << 10, SegmentSize: 20_000, Space: keep})
	return s, dir, func() { clk.Advance(2 * time.Second) }
}

// TestReserve refuses bodies of both kinds before the disk is full, reads on,
// takes those of the house itself, and takes all again when there is room.
func TestReserve(t *testing.T) {
	for _, size := range []int{3000, 300_000} {
		disk := new(faultfs.Injector)
		s, dir, later := scarce(t, disk)
		disk.Room(1<<20 + int64(size)*5/2)
		var refs []blob.Ref
		for {
			ref, err := tryPut(s, pattern(1, size), "meta")
			if errors.Is(err, blob.ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		if len(refs) != 2 {
			t.Errorf("size %d: %d bodies where 2 fit", size, len(refs))
		}
		if free, _, _ := disk.Space(dir); free < 1<<20 {
			t.Errorf("size %d: went into the reserve: %d bytes are free", size, free)
		}
		if left := strings.Join(names(t, dir), " "); strings.Contains(left, partSuffix) {
			t.Errorf("left behind: %s", left)
		}
		wantBody(t, s, refs[0], pattern(1, size))
		later()
		own := putOwn(t, s, pattern(3, 1000))
		wantBody(t, s, own, pattern(3, 1000))
		disk.Room(1000)
		later()
		if _, err := s.CreateOwn(t.Context()); !errors.Is(err, blob.ErrFull) {
			t.Errorf("a body of the house on a full disk: %v", err)
		}
		if err := s.Release(refs[0]); err != nil {
			t.Errorf("release inside the reserve: %v", err)
		}
		disk.Room(-1)
		if _, err := s.Create(t.Context()); !errors.Is(err, blob.ErrFull) {
			t.Errorf("the disk was asked twice in a second: %v", err)
		}
		later()
		wantBody(t, s, put(t, s, pattern(2, size), "m"), pattern(2, size))
	}
}

func putOwn(t *testing.T, s *Store, body []byte) blob.Ref {
	t.Helper()
	w, err := s.CreateOwn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	ref, err := w.Commit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestCollectInReserve makes room while bodies are refused: a small log is enough,
// and a segment whose living bodies do not fit is left until they do.
func TestCollectInReserve(t *testing.T) {
	disk := new(faultfs.Injector)
	s, _, later := scarce(t, disk)
	var refs []blob.Ref
	for seed := range uint64(12) {
		refs = append(refs, put(t, s, pattern(seed, 6000), "m")) // three in a segment
	}
	for i, ref := range refs {
		if i%3 > 0 {
			if err := s.Release(ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	disk.Room(1<<18 + 1000) // a quarter of the reserve, where copies do not fit
	later()
	if st, err := s.GC(context.Background()); err != nil || st.Moved != 0 {
		t.Errorf("collected %+v without room for copies: %v", st, err)
	}
	disk.Room(1 << 19)
	later()
	if st, err := s.GC(context.Background()); err != nil || st.Segments < 3 || st.Moved < 3 {
		t.Errorf("collected %+v in the reserve: %v", st, err)
	}
	for i, ref := range refs {
		if i%3 == 0 {
			wantBody(t, s, ref, pattern(uint64(i), 6000))
		}
	}
}

// TestCloseWhenFull is a stop on a disk without room: nothing went wrong, and the
// next start finds everything.
func TestCloseWhenFull(t *testing.T) {
	dir := t.TempDir()
	disk := new(faultfs.Injector)
	s := openStore(t, dir, Options{FS: disk})
	body := pattern(1, 5000)
	ref := put(t, s, body, "meta")
	disk.Room(0)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	disk.Room(-1)
	s = openStore(t, dir, Options{FS: disk})
	wantBody(t, s, ref, body)
	wantBody(t, s, put(t, s, body, "meta"), body)
}
