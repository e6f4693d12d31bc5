// Package segment keeps bodies in an append-only log of segment files. Many
// commits share one fsync; large bodies become segments of their own; records
// describe and check themselves; a collector rewrites segments that are mostly
// dead and leaves forwarding files, so that a reference stays good for ever.
package segment

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
	"posthouse/internal/space"
)

// ErrClosed is the answer to writes after Close.
var ErrClosed = errors.New("segment: store is closed")

// ErrReadOnly is the answer to writes to a store that OpenReadOnly opened.
var ErrReadOnly = errors.New("segment: store is read-only")

// errDone is the answer to a use of a writer after Commit or Abort.
var errDone = errors.New("segment: writer is done")

// LiveFunc reports whether anything refers to a body.
type LiveFunc func(ref blob.Ref) (bool, error)

// Options has a useful zero value.
type Options struct {
	FS          faultfs.FS     // default: the machine's
	Logger      *slog.Logger   // default: nothing is logged
	Clock       clock.Clock    // default: the system's
	SegmentSize int64          // bytes after which a segment is sealed; default 128 MB, at most 2 GB
	MemoryLimit int64          // bytes of one body kept in memory before it goes to a file; default 512 KB
	OpenFiles   int            // segment files kept open for reading; default 128
	Grace       time.Duration  // how long a body may wait for its first reference before Live is asked; default 1 h
	Space       *space.Reserve // watches the disk; default: it is used to the end
	ReadOnly    bool           // change nothing; see OpenReadOnly
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = faultfs.OS{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = 128 << 20
	}
	o.SegmentSize = min(o.SegmentSize, 2<<30)
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = 512 << 10
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 128
	}
	if o.Grace <= 0 {
		o.Grace = time.Hour
	}
}

// Store is the segment log. It implements blob.Store.
type Store struct {
	dir   string
	fs    faultfs.FS
	opt   Options
	log   *slog.Logger
	lock  io.Closer
	files *fileCache
	fwd   *forwards

	queue    chan *request // to the appender
	requests sync.Pool     // of *request
	kick     chan struct{} // to the collector
	quit     context.CancelFunc
	owned    sync.WaitGroup // appender and collector
	inflight sync.WaitGroup // commits
	parts    atomic.Uint64
	moves    atomic.Uint64 // grows, under mu, whenever places change
	stats    counters

	numbers  sync.Mutex // guards next and reserved
	next     uint32
	reserved uint32

	gc sync.Mutex // held while records are moved or iterated over

	mu     sync.Mutex
	segs   map[uint32]*segment
	active *segment // written by the appender only; nil between two
	failed error
	closed bool
	live   LiveFunc
}

// segment is what is known about one file. Guarded by Store.mu.
type segment struct {
	num    uint32
	sealed bool
	size   int64 // durable bytes
	count  int64 // records; -1 while unknown
	quiet  time.Time

	sidecar    bool // a dead file exists
	deadLoaded bool
	dead       []uint32 // offsets, sorted
	deadBytes  int64
	pending    []deadEntry // not yet in the sidecar
	suspect    bool        // to be looked at whatever the counts say
	keep       bool        // damaged: not to be collected
}

var _ blob.Store = (*Store)(nil)

// Open opens the store in dir, which is created when missing. It answers
// faultfs.ErrLocked when another process has it open.
func Open(dir string, opt Options) (*Store, error) {
	s, err := prepare(dir, opt)
	if err != nil {
		return nil, err
	}
	if s.opt.ReadOnly {
		return s, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.quit = cancel
	s.owned.Add(2)
	go s.appendLoop()
	go s.collectLoop(ctx)
	return s, nil
}

// OpenReadOnly opens a store, or a copy of one, for reading alone: no lock is
// taken, nothing is repaired, nothing is written.
func OpenReadOnly(dir string, opt Options) (*Store, error) {
	opt.ReadOnly = true
	return Open(dir, opt)
}

func prepare(dir string, opt Options) (_ *Store, err error) {
	opt.defaults()
	s := &Store{
		dir: dir, fs: opt.FS, opt: opt, log: opt.Logger,
		queue: make(chan *request, 256),
		kick:  make(chan struct{}, 1),
		segs:  make(map[uint32]*segment),
	}
	s.files = newFileCache(opt.OpenFiles, s.openSegment)
	s.fwd = newForwards(s)
	if !opt.ReadOnly {
		if err := s.fs.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		if s.lock, err = s.fs.Lock(s.path(lockName)); err != nil {
			return nil, fmt.Errorf("segment: %s: %w", dir, err)
		}
	}
	if err := s.recover(); err != nil {
		s.files.close()
		if s.lock != nil {
			_ = s.lock.Close()
		}
		return nil, fmt.Errorf("segment: open %s: %w", dir, err)
	}
	return s, nil
}

// SetLive tells the collector whom to ask whether a body is referred to. Until
// then only released bodies count as dead.
func (s *Store) SetLive(fn LiveFunc) {
	s.mu.Lock()
	s.live = fn
	s.mu.Unlock()
	s.kickGC()
}

// Close waits for commits in flight and for the collector, and closes the
// store. Bodies that are open stay readable until they are closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	if s.opt.ReadOnly {
		s.files.close()
		return nil
	}
	s.quit()
	s.inflight.Wait()
	close(s.queue)
	s.owned.Wait()
	s.flushDead()
	err := s.writeCleanState()
	s.files.close()
	return errors.Join(err, s.lock.Close())
}

// writeCleanState notes that the end of the log is known. It is not needed for
// correctness, so a failed store, or a full disk, leaves the old note.
func (s *Store) writeCleanState() error {
	if s.failure() != nil {
		return nil
	}
	st := state{reserved: s.next, active: s.next}
	if s.active != nil {
		st.active, st.clean = s.active.num, s.active.size
	}
	err := writeDurably(s.fs, s.path(stateName), st.encode())
	if err = storageError(err); errors.Is(err, blob.ErrFull) {
		s.log.Warn("no room to note where the log ends: the next start looks for it", "err", err)
		return nil
	}
	return err
}

// begin registers a commit; it fails after Close. The caller calls
// inflight.Done.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writableLocked(); err != nil {
		return err
	}
	s.inflight.Add(1)
	return nil
}

func (s *Store) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writableLocked()
}

func (s *Store) writableLocked() error {
	switch {
	case s.opt.ReadOnly:
		return ErrReadOnly
	case s.closed:
		return ErrClosed
	default:
		return s.failed
	}
}

// failure is the error that failed the store, nil while it works.
func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// fail stops all writes for good: after a failed fsync nobody knows what the
// disk holds, and a second fsync may lie.
func (s *Store) fail(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", blob.ErrFailed, cause)
		s.log.Error("body store failed; it accepts nothing until it is opened again", "err", cause)
	}
	return s.failed
}

func (s *Store) sync(f faultfs.File) error {
	s.stats.fsyncs.Add(1)
	if err := f.Sync(); err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *Store) syncDir() error {
	s.stats.fsyncs.Add(1)
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.fail(err)
	}
	return nil
}

// storageError makes a full disk recognisable. nil stays nil.
func storageError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	return fmt.Errorf("segment: %w", err)
}

func newNonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
