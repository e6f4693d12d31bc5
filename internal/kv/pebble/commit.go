package pebble

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"posthouse/internal/kv"
)

// committer applies batches one after another and makes them durable in groups.
// Each of the two has a goroutine.
//
// Batches are applied without a sync. Whoever needs durability joins the group
// that is gathering; the syncing goroutine takes the group, writes one empty
// record with a sync and answers all of it, while the next group gathers.
//
// This is sound because Pebble writes records to its WAL in the order of
// commits, and a synced record is synced with everything before it in the same
// file (record.LogWriter.SyncRecord). When the WAL is rotated between a batch
// and the sync of its group, the old file has been synced before the new one is
// created (DB.rotateWAL closes the writer, record.LogWriter.Close syncs). Any
// failure of these syncs is known to the store before Pebble goes on; see
// freezeFS.
//
// Applying in turn costs little, some microseconds of copying. That a goroutine
// of its own does it means that no caller hangs when Pebble waits for room that
// a broken disk will never make.
type committer struct {
	db   *pebble.DB
	f    *failure
	wake func([]kv.Partition) // tells watchers; never blocks

	requests chan *request
	started  atomic.Uint64 // batches whose application has begun

	mu       sync.Mutex
	finished uint64   // batches applied: started or one less
	synced   uint64   // batches known to be durable
	next     *group   // gathering
	spare    []*group // for reuse

	work  chan struct{} // holds a value when somebody waits in next
	stop  chan struct{}
	ended sync.WaitGroup

	syncs atomic.Uint64
}

// request is a batch on its way to the disk, or with no batch the wish to know
// when all that was applied before is there.
type request struct {
	batch   *pebble.Batch
	changed []kv.Partition // by batch, for the watchers
	// applied is called once the batch can be seen. It may close the batch.
	applied func()
	done    chan struct{} // capacity 1, gets a value when durable
}

// group is the waiters of one sync.
type group struct {
	waiters []chan<- struct{}
	changed []kv.Partition
}

// maxQueued is how many requests may await their turn before callers wait.
const maxQueued = 64

func newCommitter(db *pebble.DB, f *failure, wake func([]kv.Partition)) *committer {
	c := &committer{
		db: db, f: f, wake: wake,
		requests: make(chan *request, maxQueued),
		next:     new(group),
		work:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
	}
	c.ended.Go(c.applyLoop)
	c.ended.Go(c.syncLoop)
	return c
}

// submit hands r over; r belongs to the committer until wait returns nil.
func (c *committer) submit(r *request) error {
	select {
	case c.requests <- r:
		return nil
	case <-c.f.failed:
		return c.f.err()
	}
}

// wait returns nil when r is durable, and else the failure of the store.
func (c *committer) wait(r *request) error {
	select {
	case <-r.done:
		return nil
	case <-c.f.failed:
	}
	select {
	case <-r.done: // it came through before the failure
		return nil
	default:
		return c.f.err()
	}
}

// clean reports that everything a reader can have seen is durable. A batch is
// visible before its application has finished, so what has begun counts.
func (c *committer) clean() bool {
	started := c.started.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.synced >= started
}

// applyLoop applies what is submitted, in order.
func (c *committer) applyLoop() {
	for {
		select {
		case r := <-c.requests:
			if !c.apply(r) {
				return
			}
		case <-c.f.failed:
			return
		case <-c.stop:
			return
		}
	}
}

// apply applies one batch and joins its waiter to the group; false means the
// store failed.
func (c *committer) apply(r *request) (ok bool) {
	defer c.recoverPanic(&ok)
	if c.f.err() != nil {
		return false
	}
	if r.batch != nil {
		c.started.Add(1)
		if err := c.db.Apply(r.batch, pebble.NoSync); err != nil {
			c.f.fail(err)
		}
		if c.f.err() != nil {
			return false
		}
		r.applied()
	}
	c.join(r)
	return true
}

// join puts r into the group that will make durable all that was applied.
func (c *committer) join(r *request) {
	c.mu.Lock()
	if r.batch != nil {
		c.finished++
	}
	if c.synced == c.finished {
		c.mu.Unlock()
		r.done <- struct{}{}
		return
	}
	c.next.waiters = append(c.next.waiters, r.done)
	c.next.changed = append(c.next.changed, r.changed...)
	c.mu.Unlock()
	select {
	case c.work <- struct{}{}:
	default:
	}
}

// syncLoop makes one group after another durable.
func (c *committer) syncLoop() {
	for {
		select {
		case <-c.work:
			if !c.syncGroup() {
				return
			}
		case <-c.f.failed:
			return
		case <-c.stop:
			return
		}
	}
}

// syncGroup makes the gathering group durable; false means the store failed.
func (c *committer) syncGroup() (ok bool) {
	defer c.recoverPanic(&ok)
	g, upTo := c.takeGroup()
	if err := c.db.LogData(nil, pebble.Sync); err != nil {
		c.f.fail(err)
	}
	// A failed sync is not in the error; see freezeFS and logger.Fatalf.
	if c.f.err() != nil {
		return false
	}
	c.syncs.Add(1)
	c.mu.Lock()
	c.synced = upTo
	c.mu.Unlock()
	c.wake(g.changed)
	for _, done := range g.waiters {
		done <- struct{}{}
	}
	c.putGroup(g)
	return true
}

// takeGroup begins a new group and answers the old one, and the number of the
// last batch that its sync will cover.
func (c *committer) takeGroup() (*group, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.next
	if n := len(c.spare); n > 0 {
		c.next, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		c.next = new(group)
	}
	return g, c.finished
}

// maxSpare bounds the waiters that a group kept for reuse has room for.
const maxSpare = 4096

func (c *committer) putGroup(g *group) {
	if cap(g.waiters) > maxSpare || cap(g.changed) > maxSpare {
		return
	}
	clear(g.waiters)
	clear(g.changed)
	g.waiters, g.changed = g.waiters[:0], g.changed[:0]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = append(c.spare, g)
}

// recoverPanic turns a panic of Pebble, which then keeps its locks, into the
// failure of the store.
func (c *committer) recoverPanic(ok *bool) {
	if r := recover(); r != nil {
		c.f.wedge(panicError(r))
		*ok = false
	}
}

// close ends the goroutines and waits for them; nobody may be submitting any
// more.
func (c *committer) close() {
	close(c.stop)
	c.ended.Wait()
}
