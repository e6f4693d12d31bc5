package pebble

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"posthouse/internal/kv"
)

// committer applies batches one after another and makes them durable in groups.
//
// Batches are applied without a sync. Whoever needs durability joins the group
// that is gathering; one goroutine takes the group, writes one empty record with
// a sync and answers all of it, while the next group gathers.
//
// This is sound because Pebble writes records to its WAL in the order of
// commits, and a synced record is synced with everything before it in the same
// file (record.LogWriter.SyncRecord). When the WAL is rotated between a batch
// and the sync of its group, the old file has been synced before the new one is
// created (DB.rotateWAL closes the writer, record.LogWriter.Close syncs). Any
// failure of these syncs is known to the store before Pebble goes on; see
// freezeFS.
type committer struct {
	db   *pebble.DB
	f    *failure
	wake func([]kv.Partition) // tells watchers; never blocks

	// apply is held while a batch is applied: a lock that can be given up on.
	// Applying in turn costs little (some microseconds of copying) and bounds
	// what a write that Pebble never finishes can hold.
	apply chan struct{}

	started  atomic.Uint64 // batches whose application has begun
	finished atomic.Uint64 // batches applied: always started or one less

	mu     sync.Mutex
	synced uint64 // batches known to be durable
	next   *group // gathering, nil when nobody waits

	work chan struct{} // holds a value when next is not nil
	stop chan struct{}
	done chan struct{}

	syncs atomic.Uint64
}

// group is the waiters of one sync.
type group struct {
	done  chan struct{} // closed when the sync succeeded
	parts []kv.Partition
}

func newCommitter(db *pebble.DB, f *failure, wake func([]kv.Partition)) *committer {
	c := &committer{
		db: db, f: f, wake: wake,
		apply: make(chan struct{}, 1),
		work:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	go c.run()
	return c
}

// applyBatch applies b without waiting for the disk and gives it its number.
func (c *committer) applyBatch(b *pebble.Batch) (seq uint64, err error) {
	if err := c.lockApply(); err != nil {
		return 0, err
	}
	defer func() {
		if r := recover(); r != nil {
			// Pebble panics holding its commit lock.
			err = panicError(r)
			c.f.wedge(err)
			err = c.f.err()
		}
		<-c.apply
	}()
	seq = c.started.Add(1)
	err = c.db.Apply(b, pebble.NoSync)
	c.finished.Store(seq)
	if err != nil {
		c.f.fail(err)
	}
	return seq, c.f.err()
}

func (c *committer) lockApply() error {
	select {
	case c.apply <- struct{}{}:
	case <-c.f.failed:
		return c.f.err()
	}
	if err := c.f.err(); err != nil {
		<-c.apply
		return err
	}
	return nil
}

// barrier is the number of the last batch that a reader can have seen, and
// whether that is durable already.
func (c *committer) barrier() (seq uint64, durable bool, err error) {
	// A batch is visible before it is counted as finished, so what has only
	// started counts here.
	started := c.started.Load()
	c.mu.Lock()
	durable = c.synced >= started
	c.mu.Unlock()
	if durable {
		return started, true, c.f.err()
	}
	if err := c.lockApply(); err != nil {
		return 0, false, err
	}
	seq = c.finished.Load()
	<-c.apply
	return seq, false, nil
}

// join puts the caller into the group that will make seq durable. It answers
// nil when seq is durable already. Watchers of parts wake when it is.
func (c *committer) join(seq uint64, parts []kv.Partition) *group {
	c.mu.Lock()
	if c.synced >= seq {
		c.mu.Unlock()
		c.wake(parts)
		return nil
	}
	g := c.next
	if g == nil {
		g = &group{done: make(chan struct{})}
		c.next = g
	}
	g.parts = append(g.parts, parts...)
	c.mu.Unlock()
	select {
	case c.work <- struct{}{}:
	default:
	}
	return g
}

// wait returns when the group is durable or the store failed.
func (c *committer) wait(g *group) error {
	select {
	case <-g.done:
		return nil
	case <-c.f.failed:
	}
	select {
	case <-g.done: // it came through before the failure
		return nil
	default:
		return c.f.err()
	}
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.work:
		case <-c.stop:
			return
		case <-c.f.failed:
			return
		}
		if !c.syncGroup() {
			return
		}
	}
}

// syncGroup makes the gathering group durable; false means the store failed.
func (c *committer) syncGroup() (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			c.f.wedge(panicError(r))
			ok = false
		}
	}()
	c.mu.Lock()
	g := c.next
	c.next = nil
	c.mu.Unlock()
	if g == nil {
		return true
	}
	// Everybody in g has finished applying, so finished covers g.
	upTo := c.finished.Load()
	if err := c.db.LogData(nil, pebble.Sync); err != nil {
		c.f.fail(err)
	}
	// A failed sync is not in the error; see freezeFS and logger.Fatalf.
	if c.f.err() != nil {
		return false
	}
	c.syncs.Add(1)
	c.mu.Lock()
	c.synced = max(c.synced, upTo)
	c.mu.Unlock()
	c.wake(g.parts)
	close(g.done)
	return true
}

// close ends the goroutine; nobody may be waiting any more.
func (c *committer) close() {
	close(c.stop)
	select {
	case <-c.done:
	case <-c.f.wedged: // it may hang inside Pebble
	}
}
