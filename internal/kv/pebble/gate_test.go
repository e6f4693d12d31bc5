package pebble

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/kv"
)

const partA, partB = kv.Partition("Q\x00\x01"), kv.Partition("Q\x00\x02")

// gateFS holds up every sync of the WAL while its gate is shut, and counts them.
type gateFS struct {
	vfs.FS
	gate  sync.RWMutex // shut: locked
	syncs atomic.Int64
}

func (fs *gateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || category != walCategory {
		return f, err
	}
	return &gateFile{File: f, fs: fs}, nil
}

type gateFile struct {
	vfs.File
	fs *gateFS
}

func (f *gateFile) SyncData() error {
	f.fs.gate.RLock()
	defer f.fs.gate.RUnlock()
	f.fs.syncs.Add(1)
	return f.File.SyncData()
}

func openGate(t *testing.T) (*Store, *gateFS) {
	t.Helper()
	fs := &gateFS{FS: vfs.NewMem()}
	s, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := s.locks.size(); n != 0 {
			t.Errorf("%d partition locks left", n)
		}
	})
	return s, fs
}

// start runs an Update that sets key to value in the background.
func start(s *Store, p kv.Partition, key, value string) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- s.Update(context.Background(), kv.Partitions{p}, func(tx kv.Tx) error {
			return tx.Set(kv.NewKey(p).String(key), []byte(value))
		})
	}()
	return done
}

// applied returns when n batches have been applied since Open.
func applied(s *Store, n uint64) {
	for {
		s.commit.mu.Lock()
		finished := s.commit.finished
		s.commit.mu.Unlock()
		if finished >= n {
			return
		}
		runtime.Gosched()
	}
}

func TestCommitsShareSyncs(t *testing.T) {
	s, fs := openGate(t)
	const n = 100
	before := fs.syncs.Load()
	fs.gate.Lock()
	var all []<-chan error
	for i := range n {
		all = append(all, start(s, kv.QueueShard(uint16(i)), "k", "v"))
	}
	applied(s, n)
	fs.gate.Unlock()
	for _, done := range all {
		if err := <-done; err != nil {
			t.Errorf("Update: %v", err)
		}
	}
	// One sync for the first, one for those gathered meanwhile, and a few for
	// those that had not come to wait when the gate opened.
	if syncs := fs.syncs.Load() - before; syncs > n/4 {
		t.Errorf("%d syncs for %d concurrent updates", syncs, n)
	}
	if m := s.Metrics(); m.Updates != n || m.Syncs == 0 || m.Syncs > n/4 || m.DiskBytes == 0 || m.WALBytes == 0 {
		t.Errorf("metrics: %+v", m)
	}
}

// A partition is let go when its batch is applied; nothing is acknowledged and
// nobody is woken before it is durable.
func TestAppliedIsVisibleButNotAcknowledged(t *testing.T) {
	s, fs := openGate(t)
	ctx := context.Background()
	watch, cancel := s.Watch(partA)
	defer cancel()
	fs.gate.Lock()
	first := start(s, partA, "k", "1")
	applied(s, 1)

	saw := make(chan string, 1)
	second := make(chan error, 1)
	go func() {
		defer close(second)
		second <- s.Update(ctx, kv.Partitions{partA}, func(tx kv.Tx) error {
			v, err := tx.Get(kv.NewKey(partA).String("k"))
			saw <- string(v)
			return errors.Join(err, tx.Set(kv.NewKey(partA).String("k"), []byte("2")))
		})
	}()
	if v := <-saw; v != "1" {
		t.Errorf("the next writer of the partition saw %q", v)
	}
	applied(s, 2)
	ended, stop := context.WithCancel(ctx)
	stop()
	if err := s.Sync(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Sync with something to wait for, and an ended context: %v", err)
	}
	barrier := make(chan error, 1)
	go func() {
		defer close(barrier)
		barrier <- s.Update(ctx, nil, func(kv.Tx) error { return nil })
	}()
	select {
	case <-first:
		t.Error("acknowledged before the sync")
	case <-second:
		t.Error("acknowledged before the sync")
	case <-barrier:
		t.Error("an empty Update did not wait for what it can have read")
	case <-watch:
		t.Error("woken before the sync")
	default:
	}
	fs.gate.Unlock()
	for _, done := range []<-chan error{first, second, barrier} {
		if err := <-done; err != nil {
			t.Errorf("Update: %v", err)
		}
	}
	<-watch
	if err := s.Sync(ctx); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

// An update that was applied waits for the disk, whatever its context does.
func TestCancelledAfterApply(t *testing.T) {
	s, fs := openGate(t)
	ctx, cancel := context.WithCancel(context.Background())
	fs.gate.Lock()
	done := make(chan error, 1)
	go func() {
		done <- s.Update(ctx, kv.Partitions{partA}, func(tx kv.Tx) error {
			return tx.Set(kv.NewKey(partA), nil)
		})
	}()
	applied(s, 1)
	cancel()
	fs.gate.Unlock()
	if err := <-done; err != nil {
		t.Errorf("Update: %v", err)
	}
}

func TestSyncOfNothingIsFree(t *testing.T) {
	s, fs := openGate(t)
	if err := <-start(s, partA, "k", "v"); err != nil {
		t.Fatal(err)
	}
	fs.gate.Lock() // a sync now would wait for ever
	defer fs.gate.Unlock()
	if err := s.Sync(context.Background()); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if err := s.Update(context.Background(), nil, func(kv.Tx) error { return nil }); err != nil {
		t.Errorf("empty Update: %v", err)
	}
}

func TestCheckpoint(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-start(s, partA, "k", "before"); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint("copy"); err != nil {
		t.Fatal(err)
	}
	if err := <-start(s, partA, "k", "after"); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"copy": "before", "db": "after"} {
		if err := s.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Fatal(err)
		}
		c, err := Open(dir, Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		err = c.View(context.Background(), func(r kv.Reader) error {
			v, err := r.Get(kv.NewKey(partA).String("k"))
			if string(v) != want {
				t.Errorf("%s holds %q, want %q", dir, v, want)
			}
			return err
		})
		if err := errors.Join(err, c.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Checkpoint("late"); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("Checkpoint after Close: %v", err)
	}
}

func TestOnlyOneCanOpen(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if second, err := Open(dir, Options{}); err == nil {
		second.Close()
		t.Error("opened twice")
	}
}
