package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"posthouse/internal/kv"
)

// ledger writes numbered rows, one sequence per shard, and remembers what was
// acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked map[uint16]uint64 // by shard, the last number acknowledged
}

const shards = 4

// pad makes rows large, so that memtables fill up and WALs rotate.
var pad = make([]byte, 2000)

// next writes the next row of shard and answers its number.
func (l *ledger) next(s kv.Store, shard uint16) (uint64, error) {
	p := kv.QueueShard(shard)
	var n uint64
	err := s.Update(context.Background(), kv.Partitions{p}, func(tx kv.Tx) error {
		n = 0
		v, err := tx.Get(kv.NewKey(p).Byte('n'))
		if err == nil {
			n = binary.BigEndian.Uint64(v)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		n++
		return errors.Join(
			tx.Set(kv.NewKey(p).Byte('n'), binary.BigEndian.AppendUint64(nil, n)),
			tx.Set(kv.NewKey(p).Byte('r').Uint64(n), pad))
	})
	if err == nil {
		l.ack(shard, n)
	}
	return n, err
}

func (l *ledger) ack(shard uint16, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked = make(map[uint16]uint64)
	}
	l.acked[shard] = max(l.acked[shard], n)
}

func (l *ledger) snapshot() map[uint16]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(map[uint16]uint64)
	for k, v := range l.acked {
		c[k] = v
	}
	return c
}

// check looks that s holds all that was acknowledged, with no gap before it and
// the counter in step.
func check(t *testing.T, s kv.Store, acked map[uint16]uint64) {
	t.Helper()
	err := s.View(context.Background(), func(r kv.Reader) error {
		for shard := range uint16(shards) {
			p := kv.QueueShard(shard)
			var counter, rows uint64
			if v, err := r.Get(kv.NewKey(p).Byte('n')); err == nil {
				counter = binary.BigEndian.Uint64(v)
			} else if !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			k := kv.NewKey(p).Byte('r')
			err := r.Scan(k, k.End(), func(key, v []byte) bool {
				rows++
				if n := binary.BigEndian.Uint64(key[len(k):]); n != rows || len(v) != len(pad) {
					t.Errorf("shard %d: row %d of %d bytes where %d belongs", shard, n, len(v), rows)
					return false
				}
				return true
			})
			if err != nil {
				return err
			}
			if rows != counter || rows < acked[shard] {
				t.Errorf("shard %d: %d rows, counter %d, acknowledged %d", shard, rows, counter, acked[shard])
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("View: %v", err)
	}
}

// reopen opens what a file system holds after the crash and checks it.
func reopen(t *testing.T, fs vfs.FS, acked map[uint16]uint64) {
	t.Helper()
	s, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatalf("Open after the fault: %v", err)
	}
	check(t, s, acked)
	if _, err := new(ledger).next(s, 0); err != nil {
		t.Errorf("Update after the fault: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// write has every shard write rows until told to stop or refused.
func (l *ledger) write(s kv.Store, stop <-chan struct{}, after func()) []error {
	errs := make([]error, shards)
	var wg sync.WaitGroup
	for shard := range uint16(shards) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, errs[shard] = l.next(s, shard); errs[shard] != nil {
					return
				}
				after()
			}
		})
	}
	wg.Wait()
	return errs
}

func TestPowerLoss(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		s, err := Open("db", Options{FS: fs, MemTableSize: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		var l ledger
		var written atomic.Int64
		at := int64(1 + rnd.IntN(600)) // some WALs' worth
		stop, crash := make(chan struct{}), make(chan struct{})
		finished := make(chan []error, 1)
		go func() {
			finished <- l.write(s, stop, func() {
				if written.Add(1) == at {
					close(crash)
				}
			})
		}()
		<-crash
		acked := l.snapshot() // before the clone: these must be in it
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
		close(stop)
		for _, err := range <-finished {
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		reopen(t, clone, acked)
		if t.Failed() {
			t.Fatalf("seed %d, crash after %d rows", seed, at)
		}
	}
}

// TestDiskFaults lets the disk fail in one way for good, while rows are written.
func TestDiskFaults(t *testing.T) {
	wal := func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") }
	table := func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") }
	for name, hit := range map[string]func(errorfs.Op) bool{
		"WALSync": func(op errorfs.Op) bool {
			return wal(op) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData)
		},
		"WALWrite": func(op errorfs.Op) bool { return wal(op) && op.Kind == errorfs.OpFileWrite },
		"WALCreate": func(op errorfs.Op) bool {
			return wal(op) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		},
		"TableWrite": func(op errorfs.Op) bool { return table(op) && op.Kind == errorfs.OpFileWrite },
		"TableMake":  func(op errorfs.Op) bool { return table(op) && op.Kind == errorfs.OpCreate },
		"Manifest": func(op errorfs.Op) bool {
			return strings.Contains(op.Path, "MANIFEST") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite
		},
		"Everything": func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			var broken atomic.Bool
			inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && hit(op) {
					return syscall.EIO
				}
				return nil
			})
			s, err := Open("db", Options{FS: errorfs.Wrap(fs, inject), MemTableSize: 256 << 10})
			if err != nil {
				t.Fatal(err)
			}
			var l ledger
			var written atomic.Int64
			errs := l.write(s, nil, func() {
				if written.Add(1) == 100 {
					broken.Store(true)
				}
			})
			for _, err := range errs {
				if !errors.Is(err, kv.ErrFailed) {
					t.Errorf("Update on a broken disk: %v", err)
				}
			}
			failedForGood(t, s)
			acked := l.snapshot()
			reopen(t, fs.CrashClone(vfs.CrashCloneCfg{}), acked)
			reopen(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))}), acked)
		})
	}
}

// A disk that is full when the store is opened is an error, not a wait without
// end, and loses nothing.
func TestOpenOnFullDisk(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	var l ledger
	stop := make(chan struct{})
	l.write(s, stop, sync.OnceFunc(func() { close(stop) }))
	acked := l.snapshot()
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	if s, err := Open("db", Options{FS: errorfs.Wrap(after.CrashClone(vfs.CrashCloneCfg{}), full)}); !errors.Is(err, kv.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open: %v, %v, want the failure and its cause", s, err)
	}
	reopen(t, after, acked)
}

// failedForGood checks what is left of a store after its failure, and closes it.
func failedForGood(t *testing.T, s *Store) {
	t.Helper()
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, kv.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Err: %v, want the failure and its cause", err)
	}
	ran := false
	err := s.Update(context.Background(), kv.Partitions{partA}, func(kv.Tx) error { ran = true; return nil })
	if !errors.Is(err, kv.ErrFailed) || ran {
		t.Errorf("Update after the failure: %v, fn ran: %v", err, ran)
	}
	if err := s.Sync(context.Background()); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("Sync after the failure: %v", err)
	}
	if err := s.Checkpoint("copy"); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("Checkpoint after the failure: %v", err)
	}
	if err := s.Close(); !errors.Is(err, kv.ErrFailed) {
		t.Errorf("Close after the failure: %v", err)
	}
}
