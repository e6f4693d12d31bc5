// Package pebble is the embedded engine of kv: one Pebble database on the local
// disk. Writers of a partition exclude each other until their batch is applied;
// durability comes afterwards, in groups that share one sync.
package pebble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/kv"
	"posthouse/internal/space"
)

// formatVersion is pinned, so that a new Pebble never changes the disk format by
// itself: it is raised one release after the Pebble that brought it, when going
// back to the release before is no longer wanted.
const formatVersion = pebble.FormatWALSyncChunks

// Options of Open. The zero value is good.
type Options struct {
	// FS is the file system; nil is the machine's. Tests inject faults here.
	FS vfs.FS
	// Logger takes Pebble's messages; nil discards them.
	Logger *slog.Logger
	// CacheSize is the memory for blocks read from disk, in bytes; 0 is 64 MB.
	CacheSize int64
	// MemTableSize is the memory for recent writes, in bytes; 0 is 16 MB, or less
	// with a small reserve of Space: four logs of that size wait for their flush and
	// five more to be written again, and all of them come out of the reserve when a
	// house that has just started fills them.
	MemTableSize uint64
	// Space watches the disk; nil uses it to the end.
	Space *space.Reserve
	// ReadOnly writes nothing; the database must be there, and may be damaged in
	// part: what cannot be read is an error of View.
	ReadOnly bool

	rest time.Duration // after a rewriting that found no room; but for tests the constant
}

// Store is an open database. It implements kv.Store.
type Store struct {
	db      *pebble.DB
	f       *failure
	p       *patience
	space   *space.Reserve
	locks   *keyedLocks
	watch   *watchers
	commit  *committer
	txs     txPool
	updates atomic.Uint64

	mu     sync.Mutex
	closed bool
	calls  int           // Views, Updates and the like under way
	idle   chan struct{} // made by Close, closed when calls falls to 0
}

var _ kv.Store = (*Store)(nil)

// ErrLocked means that another process has the database open.
var ErrLocked = errors.New("another program has it open")

// ErrDamaged means that what is on the disk is not what was written.
var ErrDamaged = errors.New("damaged")

// Open opens the database in dir and makes it when there is none. Only one
// process at a time can have it open: ErrLocked. ErrDamaged.
func Open(dir string, opt Options) (*Store, error) {
	log := opt.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := newFailure()
	p := newPatience(f, log, cmp.Or(opt.rest, restFromWork))
	l := logger{log: log, f: f, p: p}
	db, err := openPebble(dir, pebbleOptions(dir, opt, l), f)
	if errors.Is(err, syscall.EAGAIN) { // of the lock on the directory
		return nil, fmt.Errorf("kv: %s: %w", dir, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("kv: open %s: %w", dir, damage(err))
	}
	p.begun.Store(true)
	s := &Store{db: db, f: f, p: p, space: opt.Space, locks: newKeyedLocks(), watch: newWatchers()}
	s.commit = newCommitter(db, f, s.watch.wake)
	return s, nil
}

func pebbleOptions(dir string, opt Options, l logger) *pebble.Options {
	fs := opt.FS
	if fs == nil {
		fs = vfs.Default
	}
	o := &pebble.Options{
		FS:                          freezeFS{FS: fs, f: l.f, p: l.p, space: opt.Space, dir: dir},
		CacheSize:                   opt.CacheSize,
		MemTableSize:                opt.MemTableSize,
		MemTableStopWritesThreshold: 4,
		FormatMajorVersion:          formatVersion,
		Logger:                      l,
		EventListener:               l.events(),
		ReadOnly:                    opt.ReadOnly,
	}
	if o.CacheSize == 0 {
		o.CacheSize = 64 << 20
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = memTableSize(opt.Space.Figures().Reserve)
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// The bounds of memTableSize.
const (
	minMemTable = 512 << 10
	maxMemTable = 16 << 20
)

// memTableSize is what leaves a quarter of a reserve alone, with which tables are
// written; without a reserve it is the most.
func memTableSize(reserve int64) uint64 {
	if reserve == 0 {
		return maxMemTable
	}
	return uint64(min(max(reserve/16, minMemTable), maxMemTable))
}

// enter counts a call in; every enter that returns nil needs a leave.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kv.ErrClosed
	}
	s.calls++
	return nil
}

func (s *Store) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.calls == 0 && s.idle != nil {
		close(s.idle)
	}
}

// View implements kv.Store.
func (s *Store) View(ctx context.Context, fn func(kv.Reader) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	snap := s.db.NewSnapshot()
	r := &reader{ctx: ctx, src: snap}
	defer func() {
		r.ended = true
		_ = snap.Close() // only ever nil
	}()
	return damage(fn(r))
}

// damage marks errors that come of files that are not what was written: ErrDamaged.
func damage(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Update implements kv.Store.
func (s *Store) Update(ctx context.Context, parts kv.Partitions, fn func(kv.Tx) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if slices.Contains(parts, "") {
		return fmt.Errorf("%w: a partition without a name", kv.ErrPartition)
	}
	if len(parts) > 1 {
		parts = parts.Sorted()
	}
	t := s.txs.take()
	if err := s.run(ctx, t, parts, fn); err != nil {
		return err
	}
	if err := s.commit.wait(&t.request); err != nil {
		return err // the committer may still hold t
	}
	s.txs.put(t)
	s.updates.Add(1)
	return nil
}

// run runs fn under the locks of parts and submits what it wrote, or when that
// is nothing a barrier. On an error t is not to be used again.
func (s *Store) run(ctx context.Context, t *tx, parts kv.Partitions, fn func(kv.Tx) error) error {
	if err := firstError(s.f.err(), ctx.Err()); err != nil {
		return err
	}
	if err := s.locks.lock(ctx, s.f.failed, parts, &t.held); err != nil {
		return firstError(s.f.err(), err)
	}
	batch := s.db.NewIndexedBatch()
	release := func() {
		_ = batch.Close() // only refuses a second Close
		s.locks.unlock(parts, &t.held)
	}
	handedOver := false // whether release is the committer's to call
	defer func() {
		if !handedOver {
			release()
		}
	}()
	t.begin(ctx, parts, batch)
	err := damage(fn(t))
	refused := t.err
	t.end()
	if err := firstError(err, refused, ctx.Err()); err != nil {
		return err
	}
	if t.request.batch != nil {
		if err := s.space.Fits(space.UseOf(ctx), 0); err != nil {
			return err
		}
	}
	t.request.applied = release
	handedOver = t.request.batch != nil
	return s.commit.submit(&t.request)
}

// Sync implements kv.Store.
func (s *Store) Sync(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if s.commit.clean() {
		return s.f.err()
	}
	r := &request{done: make(chan struct{}, 1)}
	if err := s.commit.submit(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.f.failed:
		return s.commit.wait(r)
	}
}

// Watch implements kv.Store.
func (s *Store) Watch(part kv.Partition) (<-chan struct{}, func()) {
	return s.watch.add(part)
}

// closeGrace is how long Close of a failed store waits for what may hang inside
// Pebble.
const closeGrace = 5 * time.Second

// Close implements kv.Store. After a failure with which Pebble does not come to
// an end it leaves the files open: then only the end of the process lets go of
// them.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return kv.ErrClosed
	}
	s.closed = true
	s.idle = make(chan struct{})
	if s.calls == 0 {
		close(s.idle)
	}
	s.mu.Unlock()

	s.p.end()
	if !s.awaitEnd() {
		return s.f.err()
	}
	return firstError(s.f.err(), s.closeDB())
}

// awaitEnd returns true when nothing uses the database any more. After a failure
// something may hang in it for ever; that it gives up on.
func (s *Store) awaitEnd() bool {
	ended := make(chan struct{})
	go func() {
		<-s.idle
		s.commit.close()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-s.f.failed:
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ended:
		return true
	case <-s.f.wedged:
	case <-grace.C:
	}
	return false
}

func (s *Store) closeDB() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	return s.db.Close()
}

// Hurry makes writes that wait for room on a full disk fail the store instead:
// for who wants to close it soon.
func (s *Store) Hurry() { s.p.end() }

// Failed is closed when a write or sync has failed; see kv.ErrFailed.
func (s *Store) Failed() <-chan struct{} { return s.f.failed }

// Err is nil, or the first failure, which wraps kv.ErrFailed.
func (s *Store) Err() error { return s.f.err() }

// Checkpoint makes a consistent copy of the database, as of now, in dir, which
// must not exist. Where it can it links files instead of copying them, so dir
// should be on the same file system.
func (s *Store) Checkpoint(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.f.err(); err != nil {
		return err
	}
	return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// Metrics are figures for monitoring.
type Metrics struct {
	DiskBytes uint64 // what the database's files take
	WALBytes  uint64 // written to the WAL since Open
	Updates   uint64 // that wrote something, or waited, since Open
	Syncs     uint64 // groups made durable since Open
}

// Metrics reads the figures. After Close they are zero.
func (s *Store) Metrics() Metrics {
	if s.enter() != nil {
		return Metrics{}
	}
	defer s.leave()
	m := s.db.Metrics()
	return Metrics{
		DiskBytes: m.DiskSpaceUsage(),
		WALBytes:  m.WAL.BytesWritten,
		Updates:   s.updates.Load(),
		Syncs:     s.commit.syncs.Load(),
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func panicError(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("pebble: %w", err)
	}
	return fmt.Errorf("pebble: %v", r)
}
