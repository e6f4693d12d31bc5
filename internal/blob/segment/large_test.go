package segment

import (
	"context"
	"crypto/sha256"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"posthouse/internal/clock"
)

// TestLargeBodyIsNeverInMemory streams 50 MB in and out while the heap is
// watched.
func TestLargeBodyIsNeverInMemory(t *testing.T) {
	const size = 50 << 20
	s := openStore(t, t.TempDir(), Options{})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	look := func() {
		runtime.GC() // what is garbage does not count
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak.Store(max(peak.Load(), m.HeapAlloc))
	}
	w, err := s.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	in := sha256.New()
	piece := pattern(9, 100_000)
	for left := size; left > 0; {
		p := piece[:min(left, len(piece))]
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		in.Write(p)
		left -= len(p)
		if left%(5<<20) < len(piece) {
			look()
		}
	}
	ref, err := w.Commit(context.Background(), []byte("meta"))
	if err != nil {
		t.Fatal(err)
	}
	look()
	b, err := s.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	out := sha256.New()
	if n, err := io.CopyBuffer(out, io.NewSectionReader(b, 0, b.Size()), make([]byte, 64<<10)); n != size || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	look()
	if string(in.Sum(nil)) != string(out.Sum(nil)) {
		t.Error("read other bytes than were written")
	}
	if grown := int64(peak.Load()) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

// TestSmallBodyAllocations holds the cost of one 10 KB message down.
func TestSmallBodyAllocations(t *testing.T) {
	s := openStore(t, memDir(t), Options{})
	body := pattern(1, 10<<10)
	meta := make([]byte, 300)
	ctx := context.Background()
	n := testing.AllocsPerRun(200, func() {
		w, err := s.Create(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(body)
		if _, err := w.Commit(ctx, meta); err != nil {
			t.Fatal(err)
		}
	})
	if n > 8 {
		t.Errorf("%.0f allocations for one message", n)
	}
}

// TestCollectorRunsByItself releases a body that is alone in its segment and
// waits, in virtual time, for the segment to go.
func TestCollectorRunsByItself(t *testing.T) {
	clk := clock.NewFake(time.Unix(1_000_000_000, 0))
	s := openStore(t, t.TempDir(), Options{MemoryLimit: 1 << 10, Clock: clk})
	ref := put(t, s, pattern(1, 100_000), "m")
	if err := s.Release(ref); err != nil {
		t.Fatal(err)
	}
	for s.Stats().Segments > 0 { // the collector arms its timer when it comes to it
		clk.Advance(flushEvery)
		runtime.Gosched()
	}
}

// BenchmarkCommit is 64 writers of 10 KB messages.
func BenchmarkCommit(b *testing.B) {
	s := openStore(b, b.TempDir(), Options{})
	body := pattern(1, 10<<10)
	meta := make([]byte, 300)
	ctx := context.Background()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w, err := s.Create(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = w.Write(body)
			if _, err := w.Commit(ctx, meta); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64(b.N)/float64(s.Stats().Fsyncs), "msgs/fsync")
}
