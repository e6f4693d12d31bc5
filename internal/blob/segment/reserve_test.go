package segment

import (
	"errors"
	"strings"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
)

// TestReserve refuses bodies of both kinds before the disk is full, reads on,
// collects, and takes bodies again when there is room.
func TestReserve(t *testing.T) {
	for _, size := range []int{3000, 300_000} {
		disk := new(faultfs.Injector)
		clk := newFakeClock()
		dir := t.TempDir()
		s := openStore(t, dir, Options{FS: disk, Clock: clk, MemoryLimit: 64 << 10, SegmentSize: 20_000, Reserve: 1 << 20})
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
		clk.Advance(2 * time.Second)
		disk.Room(1000)
		if err := s.Room(0); !errors.Is(err, blob.ErrFull) {
			t.Errorf("room inside the reserve: %v", err)
		}
		if err := s.Release(refs[0]); err != nil {
			t.Errorf("release inside the reserve: %v", err)
		}
		disk.Room(-1)
		if err := s.Room(0); !errors.Is(err, blob.ErrFull) {
			t.Errorf("the disk was asked twice in a second: %v", err)
		}
		clk.Advance(2 * time.Second)
		wantBody(t, s, put(t, s, pattern(2, size), "m"), pattern(2, size))
	}
}
