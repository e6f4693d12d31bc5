package segment

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"posthouse/internal/blob"
)

// damaged is a store with a good body and one of which a bit in the middle is not
// as it was.
func damaged(t testing.TB, size int) (s *Store, good, bad blob.Ref) {
	t.Helper()
	dir := t.TempDir()
	s = openStore(t, dir, Options{})
	good, bad = put(t, s, pattern(1, size), "good"), put(t, s, pattern(2, size), "bad")
	f, err := os.OpenFile(filepath.Join(dir, fileName(bad.Segment, segSuffix)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	at := int64(bad.Offset) + headerSize + int64(size/2)
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	return s, good, bad
}

// TestCheck reads bodies in many ways: who has read all of one from its begin to
// its end knows whether it is as it was, and who has not does not.
func TestCheck(t *testing.T) {
	const size = 100_000
	s, good, bad := damaged(t, size)
	type span struct{ from, to int64 }
	for name, way := range map[string]struct {
		spans []span
		finds bool
	}{
		"at once":          {[]span{{0, size}}, true},
		"beyond the end":   {[]span{{0, size + 10}}, true},
		"in pieces":        {[]span{{0, 10}, {10, 60_000}, {60_000, size}}, true},
		"from the start":   {[]span{{0, 10_000}, {0, 70_000}, {70_000, size}}, true},
		"overlapping":      {[]span{{0, 50_000}, {20, 30}, {20_000, size}}, true},
		"twice":            {[]span{{0, size}, {0, size}}, true},
		"not its begin":    {[]span{{1, size}}, false},
		"not its end":      {[]span{{0, size - 1}}, false},
		"with a hole":      {[]span{{0, 10}, {11, size}}, false},
		"the end first":    {[]span{{50_000, size}, {0, 50_000}}, false},
		"the end again":    {[]span{{50_000, size}, {0, 50_000}, {50_000, size}}, true},
		"nothing at all":   {nil, false},
		"an empty request": {[]span{{0, 0}}, false},
	} {
		for _, ref := range []blob.Ref{good, bad} {
			before := s.Stats().Damaged
			body, err := s.Open(ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range way.spans {
				if _, err := body.ReadAt(make([]byte, x.to-x.from), x.from); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			want := ref == bad && way.finds
			if err := blob.Check(body); errors.Is(err, blob.ErrCorrupt) != want || err != nil && !want {
				t.Errorf("%s: %v", name, err)
			}
			if found := s.Stats().Damaged - before; (found == 1) != want || found > 1 {
				t.Errorf("%s: counted %d times", name, found)
			}
			body.Close()
		}
	}
	if err := blob.Check(bytes.NewReader(nil)); err != nil {
		t.Errorf("what is no body: %v", err)
	}
}

// TestCheckTogether has several readers of one body.
func TestCheckTogether(t *testing.T) {
	s, good, bad := damaged(t, 300_000)
	for _, ref := range []blob.Ref{good, bad} {
		body, err := s.Open(ref)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := io.Copy(io.Discard, io.NewSectionReader(body, 0, body.Size())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := blob.Check(body); errors.Is(err, blob.ErrCorrupt) != (ref == bad) {
			t.Errorf("%v: %v", ref, err)
		}
	}
	if n := s.Stats().Damaged; n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// BenchmarkRead is a body of 64 KB from Open to Close.
func BenchmarkRead(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{})
	ref := put(b, s, pattern(1, 64<<10), "")
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		body, err := s.Open(ref)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := body.ReadAt(buf, 0); err != nil {
			b.Fatal(err)
		}
		body.Close()
	}
}
