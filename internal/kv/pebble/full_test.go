package pebble

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
	"posthouse/internal/kv"
	"posthouse/internal/space"
)

// fullDisk fills when told to, and tells when somebody has met it so often.
type fullDisk struct {
	full atomic.Bool
	hit  func(errorfs.Op) bool
	left atomic.Int64 // how often it is to be met yet
	met  chan struct{}
}

func newFullDisk(times int64, hit func(errorfs.Op) bool) *fullDisk {
	d := &fullDisk{hit: hit, met: make(chan struct{})}
	d.left.Store(times)
	return d
}

func (d *fullDisk) String() string { return "full disk" }

func (d *fullDisk) MaybeError(op errorfs.Op) error {
	if !d.full.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !d.hit(op) {
		return nil
	}
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpReuseForWrite:
		if d.left.Add(-1) == 0 {
			close(d.met)
		}
		return syscall.ENOSPC
	}
	return nil
}

// TestFullDisk fills the disk under a store that is open, in different places,
// and makes room again: nothing fails, nothing is lost, and rows go on.
func TestFullDisk(t *testing.T) {
	for name, hit := range map[string]func(errorfs.Op) bool{
		"WAL":        func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") },
		"Tables":     func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") },
		"Manifest":   func(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") },
		"Everything": func(errorfs.Op) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			disk := newFullDisk(3, hit)
			s, err := Open("db", Options{FS: errorfs.Wrap(fs, disk), MemTableSize: 64 << 10, rest: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			var l ledger
			var written atomic.Int64
			stop, done := make(chan struct{}), make(chan []error, 1)
			go func() {
				done <- l.write(s, stop, func() {
					switch n := written.Add(1); n {
					case 100:
						disk.full.Store(true)
					case 3000: // some tables and logs later
						close(stop)
					}
				})
			}()
			select {
			case <-disk.met:
			case errs := <-done:
				t.Fatalf("nobody met the full disk: %v", errs)
			}
			if name == "WAL" || name == "Tables" {
				check(t, s, l.snapshot()) // reading goes on
			}
			disk.full.Store(false)
			for _, err := range <-done {
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
			check(t, s, l.snapshot())
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			reopen(t, fs.CrashClone(vfs.CrashCloneCfg{}), l.snapshot())
		})
	}
}

// TestCloseOnFullDisk does not wait for room, which nobody makes here, and loses nothing.
func TestCloseOnFullDisk(t *testing.T) {
	fs := vfs.NewCrashableMem()
	disk := newFullDisk(1, func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") })
	s, err := Open("db", Options{FS: errorfs.Wrap(fs, disk)})
	if err != nil {
		t.Fatal(err)
	}
	var l ledger
	if _, err := l.next(s, 0); err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	waits := make(chan error, 1)
	go func() { _, err := l.next(s, 0); waits <- err }()
	<-disk.met
	acked := l.snapshot()
	s.Hurry()
	if err := <-waits; !errors.Is(err, kv.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Update: %v", err)
	}
	if err := s.Close(); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
	reopen(t, fs.CrashClone(vfs.CrashCloneCfg{}), acked)
}

// TestSpace refuses what would go into the last part of the reserve, before it
// is written anywhere, and takes it again without being opened anew.
func TestSpace(t *testing.T) {
	ctx := context.Background()
	disk := new(faultfs.Injector)
	clk := clock.NewFake(time.Unix(1_800_000_000, 0))
	keep := space.New(space.Options{FS: disk, Clock: clk, Dirs: []string{t.TempDir()}, Reserve: 4000})
	fs := vfs.NewMem()
	s, err := Open("db", Options{FS: fs, Space: keep})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var l ledger
	next := func() error { _, err := l.next(s, 0); return err }
	room := func(n int64) { disk.Room(n); clk.Advance(time.Second) }
	room(1000)
	if err := next(); err != nil {
		t.Errorf("in the reserve: %v", err)
	}
	room(999)
	if err := next(); !errors.Is(err, kv.ErrFull) {
		t.Errorf("in the last part of it: %v", err)
	}
	clear := func() error {
		return s.Update(space.For(ctx, space.Clearing), kv.Partitions{partB}, func(tx kv.Tx) error {
			return tx.Set(kv.NewKey(partB).Byte('c'), nil)
		})
	}
	if err := clear(); err != nil {
		t.Errorf("what makes room, in the last part of it: %v", err)
	}
	room(499)
	if err := clear(); !errors.Is(err, kv.ErrFull) {
		t.Errorf("what makes room, at the end of it: %v", err)
	}
	check(t, s, l.snapshot())
	if err := s.Update(ctx, kv.Partitions{partA}, func(kv.Tx) error { return nil }); err != nil {
		t.Errorf("an Update that writes nothing: %v", err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Error(err)
	}
	room(1000)
	if err := next(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	check(t, s, l.snapshot())
}

// TestSmallReserve fills the logs of a house that has just started, on a disk of
// which little is kept: they must leave some of it.
func TestSmallReserve(t *testing.T) {
	ctx := context.Background()
	const reserve = 8 << 20
	disk := new(faultfs.Injector)
	disk.Room(reserve)
	keep := space.New(space.Options{FS: disk, Clock: clock.NewFake(time.Unix(1_800_000_000, 0)), Dirs: []string{t.TempDir()}, Reserve: reserve})
	s, err := Open("db", Options{FS: vfs.NewMem(), Space: keep})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	value := make([]byte, 32<<10)
	var most uint64
	for n := range uint64(384) { // the same rows again and again, as flags are
		err := s.Update(ctx, kv.Partitions{partA}, func(tx kv.Tx) error {
			return tx.Set(kv.NewKey(partA).Byte('f').Uint64(n%64), value)
		})
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, s.Metrics().DiskBytes)
	}
	if most > reserve*3/4 {
		t.Errorf("the index took %d bytes of a reserve of %d", most, reserve)
	}
}
