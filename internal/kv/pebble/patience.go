package pebble

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// patience is how a store that is open outlives a full disk. What the engine must
// write to go on, it writes when there is room again: to Pebble the disk is slow.
// Until then no Update begins (see Options.Space), and reading goes on. Rewriting
// is given up instead, for its half-written files are in the way, and is tried
// again after a while.
type patience struct {
	f     *failure
	log   *slog.Logger
	begun atomic.Bool   // Open is over: before it a full disk is an error
	over  chan struct{} // closed by end
	ended sync.Once
	stuck atomic.Int32 // writes that wait
	pause time.Duration

	mu      sync.Mutex
	resting time.Time // until when nothing is rewritten
}

// The pauses of a full disk. They are the disk's time, not the clock's of Options.
const (
	roomEvery    = 200 * time.Millisecond // between two looks for room
	restFromWork = 10 * time.Second       // after a rewriting found none
)

func newPatience(f *failure, log *slog.Logger, pause time.Duration) *patience {
	return &patience{f: f, log: log, pause: pause, over: make(chan struct{})}
}

// end makes nobody wait any more: what waits fails, and with it the store.
func (p *patience) end() { p.ended.Do(func() { close(p.over) }) }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// bears reports whether err is no more than a full disk, and the store can go on.
func (p *patience) bears(err error) bool {
	if !p.begun.Load() || !isFull(err) || p.f.err() != nil {
		return false
	}
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

// insist does a write until there is room for it. write continues where it
// stopped.
func (p *patience) insist(write func() error) error {
	err := write()
	if err == nil || !p.bears(err) {
		return err
	}
	if p.stuck.Add(1) == 1 {
		p.log.Error("the disk is full: the index waits for room", "err", err)
	}
	defer func() {
		if p.stuck.Add(-1) == 0 && err == nil {
			p.log.Info("the index goes on: there is room again")
		}
	}()
	for err != nil && p.bears(err) && p.sleep(roomEvery) {
		err = write()
	}
	return err
}

// sleep is false when there is nothing to wait for any more.
func (p *patience) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.over:
	case <-p.f.failed:
	}
	return false
}

// rest puts off rewriting, which found no room.
func (p *patience) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = time.Now().Add(p.pause)
}

// awake returns when there may be rewriting.
func (p *patience) awake() {
	p.mu.Lock()
	d := time.Until(p.resting)
	p.mu.Unlock()
	if d > 0 {
		p.sleep(d)
	}
}

// What Pebble calls the files that it cannot do without.
const (
	walCategory      vfs.DiskWriteCategory = "pebble-wal"
	manifestCategory vfs.DiskWriteCategory = "pebble-manifest"
	flushCategory    vfs.DiskWriteCategory = "pebble-memtable-flush"
)

// needed reports whether the store stands still without such a file.
func needed(category vfs.DiskWriteCategory) bool {
	return category == walCategory || category == manifestCategory || category == flushCategory
}

// rewriting reports whether such a file replaces others.
func rewriting(category vfs.DiskWriteCategory) bool {
	return category == "pebble-compaction" || category == "pebble-blob-file-rewrite"
}

// aheadFile has room on the disk for what is still to be written to it. It is for
// the MANIFEST: while that waits, reading waits too.
type aheadFile struct {
	vfs.File
	size, ahead int64 // written, and set aside from the start of the file
}

// setAside is how much is set aside at a time, in bytes: some thousand changes.
const setAside = 1 << 20

func (f *aheadFile) Write(p []byte) (int, error) {
	if f.size+int64(len(p))+setAside/2 > f.ahead && f.File.Preallocate(f.ahead, setAside) == nil {
		f.ahead += setAside
	} // and else it may work without
	n, err := f.File.Write(p)
	f.size += int64(n)
	return n, err
}
