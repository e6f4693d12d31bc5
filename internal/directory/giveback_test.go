package directory

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackWhenABurstOfLoginsIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGiveBack()
		var freed atomic.Int32
		g.free = func() { freed.Add(1) }
		for range 10 {
			g.hashed()
			time.Sleep(quiet / 2)
		}
		synctest.Wait()
		if freed.Load() != 0 {
			t.Fatal("given back in the middle of the burst")
		}
		time.Sleep(2 * quiet)
		synctest.Wait()
		if freed.Load() != 1 {
			t.Fatalf("given back %d times, want once", freed.Load())
		}
		g.hashed() // one alone is not worth it
		time.Sleep(3 * quiet)
		synctest.Wait()
		if freed.Load() != 1 {
			t.Fatalf("given back %d times after a single hash, want once", freed.Load())
		}
		for range fewHashes {
			g.hashed()
		}
		g.close() // ends the wait
		if freed.Load() != 1 {
			t.Fatal("given back by close")
		}
		g.hashed()
	})
}
