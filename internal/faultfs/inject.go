package faultfs

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Kind is a kind of operation that can fail.
type Kind int

// The kinds of operation that change what is on disk.
const (
	OpCreate Kind = iota // OpenFile that may make or truncate a file
	OpWrite              // WriteAt or WritevAt
	OpTruncate
	OpSync // of a file
	OpSyncDir
	OpRename
	OpRemove
)

func (k Kind) String() string {
	return [...]string{"create", "write", "truncate", "sync", "syncdir", "rename", "remove"}[k]
}

// Op is one operation that is about to happen.
type Op struct {
	Kind  Kind
	Name  string // base name; of the target for a rename
	Bytes int    // of a write
	Seq   int    // 1 for the first operation of any kind
}

// Injector is a file system that fails when it is told to. Reads never fail.
// The zero value passes everything through to OS; set FS before the first use.
type Injector struct {
	FS FS // default OS

	mu    sync.Mutex
	seq   int
	fault func(Op) error
	full  bool  // room is bounded
	room  int64 // bytes that may still be written
}

// Fault sets what is asked before every operation: an error makes it fail
// without effect. nil lets all pass. fn is called by one goroutine at a time.
func (i *Injector) Fault(fn func(Op) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fn
}

// Room bounds the bytes that may be written from now on, as a full disk does: a
// write that does not fit stores what fits and fails with ENOSPC. A negative
// number lifts the bound.
func (i *Injector) Room(bytes int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.full, i.room = bytes >= 0, bytes
}

// FailNth returns a Fault that fails the n-th operation of a kind (1 is the
// first) with err, and no other.
func FailNth(kind Kind, n int, err error) func(Op) error {
	return func(op Op) error {
		if op.Kind != kind {
			return nil
		}
		if n--; n == 0 {
			return err
		}
		return nil
	}
}

// Ops is the number of operations so far.
func (i *Injector) Ops() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seq
}

// changes reports whether an OpenFile with these flags may change the disk.
func changes(flag int) bool { return flag&(os.O_CREATE|os.O_TRUNC) != 0 }

func (i *Injector) base() FS {
	if i.FS == nil {
		return OS{}
	}
	return i.FS
}

// check counts an operation and asks whether it may happen. allowed is less
// than bytes when the disk is full.
func (i *Injector) check(kind Kind, name string, bytes int) (allowed int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seq++
	if i.fault != nil {
		if err := i.fault(Op{Kind: kind, Name: filepath.Base(name), Bytes: bytes, Seq: i.seq}); err != nil {
			return 0, err
		}
	}
	if !i.full || kind != OpWrite {
		return bytes, nil
	}
	allowed = int(min(int64(bytes), i.room))
	i.room -= int64(allowed)
	if allowed < bytes {
		return allowed, syscall.ENOSPC
	}
	return allowed, nil
}

// OpenFile counts as an operation when it may create or truncate.
func (i *Injector) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if changes(flag) {
		if _, err := i.check(OpCreate, name, 0); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	f, err := i.base().OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &injectedFile{File: f, i: i, name: name}, nil
}

// Rename counts under the new name.
func (i *Injector) Rename(from, to string) error {
	if _, err := i.check(OpRename, to, 0); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	return i.base().Rename(from, to)
}

// Remove removes a file.
func (i *Injector) Remove(name string) error {
	if _, err := i.check(OpRemove, name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return i.base().Remove(name)
}

// ReadDir never fails by itself.
func (i *Injector) ReadDir(dir string) ([]fs.DirEntry, error) { return i.base().ReadDir(dir) }

// MkdirAll never fails by itself.
func (i *Injector) MkdirAll(dir string, perm fs.FileMode) error { return i.base().MkdirAll(dir, perm) }

// SyncDir syncs a directory.
func (i *Injector) SyncDir(dir string) error {
	if _, err := i.check(OpSyncDir, dir, 0); err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: err}
	}
	return i.base().SyncDir(dir)
}

// Space is at most what Room left; it never fails by itself.
func (i *Injector) Space(dir string) (free, total int64, err error) {
	free, total, err = i.base().Space(dir)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.full {
		free = min(free, i.room)
	}
	return free, total, err
}

// Allocate takes from what Room left.
func (i *Injector) Allocate(name string, size int64) error {
	i.mu.Lock()
	full := i.full && i.room < size
	i.mu.Unlock()
	if full {
		return &fs.PathError{Op: "fallocate", Path: name, Err: syscall.ENOSPC}
	}
	err := i.base().Allocate(name, size)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil && i.full {
		i.room -= size
	}
	return err
}

// Lock never fails by itself.
func (i *Injector) Lock(name string) (io.Closer, error) { return i.base().Lock(name) }

type injectedFile struct {
	File
	i    *Injector
	name string
}

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	return f.WritevAt([][]byte{p}, off)
}

func (f *injectedFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	allowed, err := f.i.check(OpWrite, f.name, total)
	if err != nil {
		err = &fs.PathError{Op: "write", Path: f.name, Err: err}
	}
	if allowed < total {
		bufs = cut(bufs, allowed)
	}
	n, werr := f.File.WritevAt(bufs, off)
	if werr != nil {
		err = werr
	}
	return n, err
}

func (f *injectedFile) Truncate(size int64) error {
	if _, err := f.i.check(OpTruncate, f.name, 0); err != nil {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: err}
	}
	return f.File.Truncate(size)
}

func (f *injectedFile) Sync() error {
	if _, err := f.i.check(OpSync, f.name, 0); err != nil {
		return &fs.PathError{Op: "sync", Path: f.name, Err: err}
	}
	return f.File.Sync()
}

// cut is the first n bytes of bufs.
func cut(bufs [][]byte, n int) [][]byte {
	var out [][]byte
	for _, b := range bufs {
		if n == 0 {
			break
		}
		b = b[:min(len(b), n)]
		out = append(out, b)
		n -= len(b)
	}
	return out
}
