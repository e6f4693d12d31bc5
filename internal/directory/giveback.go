package directory

import (
	"runtime/debug"
	"sync"
	"time"
)

// A hash takes 19 MB for some milliseconds. After a burst of logins the heap
// would keep a multiple of that for minutes; giveBack hands it to the system
// when the burst is over.
type giveBack struct {
	free   func() // debug.FreeOSMemory, but for tests
	mu     sync.Mutex
	hashes int  // since memory was last given back
	armed  bool // a goroutine waits for the end of the burst
	closed chan struct{}
	wait   sync.WaitGroup
}

// The end of a burst: no sooner than quiet after it began; fewHashes are not
// worth a collection.
const (
	quiet     = time.Second
	fewHashes = 4
)

func newGiveBack() *giveBack {
	return &giveBack{free: debug.FreeOSMemory, closed: make(chan struct{})}
}

// hashed notes that a hash is done.
func (g *giveBack) hashed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hashes++
	if g.armed || g.hashes < fewHashes {
		return
	}
	select {
	case <-g.closed:
		return
	default:
	}
	g.armed = true
	g.wait.Go(g.watch)
}

// watch waits until no hash was made for a while.
func (g *giveBack) watch() {
	for seen := -1; ; {
		t := time.NewTimer(quiet)
		select {
		case <-g.closed:
			t.Stop()
			return
		case <-t.C:
		}
		g.mu.Lock()
		if g.hashes == seen {
			g.hashes, g.armed = 0, false
			g.mu.Unlock()
			g.free()
			return
		}
		seen = g.hashes
		g.mu.Unlock()
	}
}

func (g *giveBack) close() {
	g.mu.Lock()
	select {
	case <-g.closed:
	default:
		close(g.closed)
	}
	g.mu.Unlock()
	g.wait.Wait()
}
