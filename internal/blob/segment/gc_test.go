package segment

import (
	"context"
	"errors"
	"os"
	"testing"

	"posthouse/internal/blob"
)

func names(t testing.TB, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

func collect(t testing.TB, s *Store) GCStats {
	t.Helper()
	st, err := s.GC(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestRefsOutliveMoves releases three of four bodies of each generation and
// collects, over and over; what was not released must stay readable by the ref
// it was given.
func TestRefsOutliveMoves(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 64 << 10})
	live := make(map[blob.Ref]uint64)
	var gone []blob.Ref
	seed := uint64(0)
	for round := range 8 {
		for range 100 {
			seed++
			ref := put(t, s, pattern(seed, 2000), "m")
			live[ref] = seed
		}
		i := 0
		for ref := range live {
			if i++; i%4 != 0 {
				if err := s.Release(ref); err != nil {
					t.Fatal(err)
				}
				delete(live, ref)
				gone = append(gone, ref)
			}
		}
		collect(t, s)
		if round%3 == 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, Options{SegmentSize: 64 << 10})
		}
		for ref, seed := range live {
			wantBody(t, s, ref, pattern(seed, 2000))
		}
	}
	if st := s.Stats(); st.Bytes > 400<<10 {
		t.Errorf("%d bytes kept for %d live bodies of 2000", st.Bytes, len(live))
	}
	seen := 0
	err := s.Records(context.Background(), func(r Record) error {
		if r.Err != nil {
			t.Error(r.Err)
		}
		if _, ok := live[r.Ref]; ok {
			seen++
		}
		return nil
	})
	if err != nil || seen != len(live) {
		t.Errorf("iterated over %d of %d live records: %v", seen, len(live), err)
	}
	for ref := range live {
		_ = s.Release(ref)
	}
	if err := s.sealActive(); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	for _, name := range names(t, dir) {
		if name != stateName && name != lockName {
			t.Errorf("%s left when everything was released", name)
		}
	}
	for ref := range live {
		gone = append(gone, ref)
	}
	for _, ref := range gone {
		if _, err := s.Open(ref); !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("released body %v: %v", ref, err)
		}
	}
}
