// Package faultfs is the narrow file system that the body store writes through,
// so that tests can put a failing one underneath: the interface, the machine's
// own file system, an injector of faults, and a disk that loses its power.
package faultfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked means that another process holds the lock.
var ErrLocked = errors.New("faultfs: locked by another process")

// File is an open file. ReadAt is safe for concurrent use, also beside writes.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WritevAt writes bufs one after the other, beginning at off, with as few
	// system calls as possible. It does not change bufs.
	WritevAt(bufs [][]byte, off int64) (int, error)
	Truncate(size int64) error
	// Sync returns when the data, and the size, are on stable storage.
	Sync() error
	Size() (int64, error)
}

// FS is a file system. Names are paths as package os takes them. Every method
// is safe for concurrent use.
type FS interface {
	// OpenFile takes the flags of os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(dir string) ([]fs.DirEntry, error)
	MkdirAll(dir string, perm fs.FileMode) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Space is the bytes that may still be written to the file system that dir
	// is on, and its size.
	Space(dir string) (free, total int64, err error)
	// Allocate makes a file of size bytes that are set aside on the disk. It answers
	// fs.ErrExist, errors.ErrUnsupported where that cannot be done, or the error of
	// a disk without room, and then there is no file.
	Allocate(name string, size int64) error
	// Lock takes an exclusive lock named by a file, or answers ErrLocked.
	Lock(name string) (io.Closer, error)
}
