package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// stillClock keeps the collector still: it only runs when a test calls GC,
// wherever the test moves the clock to.
type stillClock struct{ *clock.Fake }

func newStillClock() stillClock { return stillClock{clock.NewFake(time.Unix(1_000_000_000, 0))} }

// NewTimer never fires.
func (stillClock) NewTimer(d time.Duration) clock.Timer { return newStillClock().Fake.NewTimer(d) }

func openStore(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	if opt.Clock == nil {
		opt.Clock = newStillClock()
	}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = r.Read(b)
	return b
}

func put(t testing.TB, s *Store, body []byte, meta string) blob.Ref {
	t.Helper()
	ref, err := tryPut(s, body, meta)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func tryPut(s *Store, body []byte, meta string) (blob.Ref, error) {
	w, err := s.Create(context.Background())
	if err != nil {
		return blob.Ref{}, err
	}
	defer w.Abort()
	for p := body; len(p) > 0; {
		n := min(len(p), 4096)
		if _, err := w.Write(p[:n]); err != nil {
			return blob.Ref{}, err
		}
		p = p[n:]
	}
	if w.Size() != int64(len(body)) {
		return blob.Ref{}, fmt.Errorf("size %d, wrote %d", w.Size(), len(body))
	}
	return w.Commit(context.Background(), []byte(meta))
}

func read(s *Store, ref blob.Ref) ([]byte, error) {
	b, err := s.Open(ref)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
}

func wantBody(t testing.TB, s *Store, ref blob.Ref, want []byte) {
	t.Helper()
	got, err := read(s, ref)
	if err != nil {
		t.Fatalf("read %v: %v", ref, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%v: read %d bytes that differ from the %d written", ref, len(got), len(want))
	}
	if err := s.Verify(context.Background(), ref); err != nil {
		t.Fatalf("verify %v: %v", ref, err)
	}
}

func TestRoundTrip(t *testing.T) {
	const limit = 512 << 10
	dir := t.TempDir()
	s := openStore(t, dir, Options{MemoryLimit: limit})
	sizes := []int{0, 1, 10 << 10, smallChunk, smallChunk + 1, limit - 1, limit, limit + 1, 5 << 20}
	refs := make([]blob.Ref, len(sizes))
	for i, n := range sizes {
		refs[i] = put(t, s, pattern(uint64(i), n), fmt.Sprint("meta ", i))
		if refs[i].Length != uint64(n) {
			t.Errorf("length %d for %d bytes", refs[i].Length, n)
		}
	}
	check := func() {
		for i, n := range sizes {
			wantBody(t, s, refs[i], pattern(uint64(i), n))
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	check()
	more := put(t, s, []byte("more"), "")
	wantBody(t, s, more, []byte("more"))
	check()
}

func TestReadRange(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	body := pattern(1, 100_000)
	b, err := s.Open(put(t, s, body, "m"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []struct {
		off, n, want int
		err          error
	}{{0, 10, 10, nil}, {99_990, 10, 10, nil}, {99_990, 20, 10, io.EOF}, {100_000, 1, 0, io.EOF}, {50_000, 1000, 1000, nil}} {
		p := make([]byte, c.n)
		n, err := b.ReadAt(p, int64(c.off))
		if n != c.want || err != c.err || !bytes.Equal(p[:n], body[c.off:c.off+n]) {
			t.Errorf("ReadAt(%d, %d) = %d, %v", c.off, c.n, n, err)
		}
	}
}

func TestUnknownRefs(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	ref := put(t, s, []byte("hello"), "")
	for _, r := range []blob.Ref{
		{}, {Segment: 99, Offset: 64, Length: 5}, {Segment: ref.Segment, Offset: 1 << 20, Length: 5},
		{Segment: ref.Segment, Offset: ref.Offset, Length: 6}, {Segment: ref.Segment, Offset: 3, Length: 5},
	} {
		if _, err := s.Open(r); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open(%v): %v", r, err)
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	if other, err := Open(dir, Options{}); err == nil {
		other.Close()
		t.Fatal("opened twice")
	}
	ref := put(t, s, []byte("shared"), "m")
	ro, err := OpenReadOnly(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	wantBody(t, ro, ref, []byte("shared"))
	if _, err := ro.Create(context.Background()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Create: %v", err)
	}
}

// TestConcurrentCommitsShareFsyncs holds up the sync of one commit until many
// others wait behind it: one more is enough for all of them.
func TestConcurrentCommitsShareFsyncs(t *testing.T) {
	disk := new(faultfs.Injector)
	s := openStore(t, t.TempDir(), Options{FS: disk})
	const workers = 64
	body := pattern(3, 10<<10)
	put(t, s, body, "") // makes the segment
	before := s.Stats()
	syncing, gate := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(syncing) })
	disk.Fault(func(op faultfs.Op) error {
		if op.Kind == faultfs.OpSync {
			begun()
			<-gate
		}
		return nil
	})
	var wg sync.WaitGroup
	commit := func() {
		ref, err := tryPut(s, body, "meta")
		if err != nil {
			t.Error(err)
			return
		}
		if got, err := read(s, ref); err != nil || !bytes.Equal(got, body) {
			t.Errorf("read back: %v", err)
		}
	}
	wg.Go(commit)
	<-syncing
	for range workers {
		wg.Go(commit)
	}
	for len(s.queue) < workers {
		runtime.Gosched()
	}
	close(gate)
	wg.Wait()
	after := s.Stats()
	if n := after.Commits - before.Commits; n != 1+workers {
		t.Errorf("%d commits", n)
	}
	if n := after.Fsyncs - before.Fsyncs; n != 2 {
		t.Errorf("%d fsyncs for one commit and %d behind it", n, workers)
	}
}

func TestAbortAndClose(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{MemoryLimit: 1 << 10})
	w, _ := s.Create(context.Background())
	_, _ = w.Write(pattern(1, 200<<10))
	w.Abort()
	w2, _ := s.Create(context.Background())
	_, _ = w2.Write(pattern(1, 10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w2.Commit(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
	if _, err := s.Create(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("create after close: %v", err)
	}
	for _, name := range names(t, dir) {
		if name != stateName && name != lockName {
			t.Errorf("%s left behind", name)
		}
	}
}
