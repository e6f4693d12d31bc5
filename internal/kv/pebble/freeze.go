package pebble

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/kv"
	"posthouse/internal/space"
)

// freezeFS is a file system that stops at the store's first failure: from then
// on nothing on the disk changes, and what is there is what the next Open
// recovers from.
//
// To Pebble, an error of its WAL or of its directory is a reason to end the
// process (a panic while it holds its locks). So these errors go to the failure
// of the store, which is asked before anything is acknowledged, and Pebble is
// told that all is well. It may then believe in a WAL that is not there; that
// does no harm, for the files that would replace it cannot be written any more.
type freezeFS struct {
	vfs.FS
	f     *failure
	p     *patience
	space *space.Reserve
	dir   string // the store's own directory
}

var errFrozen = errors.New("kv: no writes after a failure")

func (fs freezeFS) frozen() error {
	if fs.f.err() != nil {
		return errFrozen
	}
	return nil
}

// Unwrap lets Pebble find what fs wraps.
func (fs freezeFS) Unwrap() vfs.FS { return fs.FS }

func (fs freezeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.create(category, func() (vfs.File, error) { return fs.FS.Create(name, category) })
}

func (fs freezeFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.create(category, func() (vfs.File, error) { return fs.FS.ReuseForWrite(old, name, category) })
}

func (fs freezeFS) create(category vfs.DiskWriteCategory, make func() (vfs.File, error)) (vfs.File, error) {
	wal := category == walCategory
	if rewriting(category) {
		fs.p.awake()
	}
	err := fs.frozen()
	if err == nil {
		var f vfs.File
		try := func() (err error) { f, err = make(); return err }
		if needed(category) {
			err = fs.p.insist(try)
		} else {
			err = try()
		}
		if err == nil {
			if category == manifestCategory {
				f = &aheadFile{File: f}
			}
			return freezeFile{File: f, fs: fs, silent: wal, needed: needed(category)}, nil
		}
	}
	if rewriting(category) && fs.p.bears(err) {
		fs.p.rest()
	}
	if !wal {
		return nil, err
	}
	fs.f.fail(err)
	return freezeFile{File: vfs.NewMemFile(nil), fs: fs, silent: true}, nil
}

func (fs freezeFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.frozen(); err != nil {
		return nil, err
	}
	f, err := fs.FS.OpenReadWrite(name, category, opts...)
	if err != nil {
		return nil, err
	}
	return freezeFile{File: f, fs: fs}, nil
}

func (fs freezeFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return freezeFile{File: f, fs: fs, silent: name == fs.dir}, nil
}

func (fs freezeFS) Link(old, name string) error {
	return fs.change(func() error { return fs.FS.Link(old, name) })
}

func (fs freezeFS) Remove(name string) error {
	return fs.change(func() error { return fs.FS.Remove(name) })
}

func (fs freezeFS) RemoveAll(name string) error {
	return fs.change(func() error { return fs.FS.RemoveAll(name) })
}

func (fs freezeFS) Rename(old, name string) error {
	return fs.change(func() error { return fs.FS.Rename(old, name) })
}

func (fs freezeFS) MkdirAll(dir string, perm os.FileMode) error {
	return fs.change(func() error { return fs.FS.MkdirAll(dir, perm) })
}

func (fs freezeFS) Lock(name string) (io.Closer, error) { return fs.FS.Lock(name) }

func (fs freezeFS) change(do func() error) error {
	if err := fs.frozen(); err != nil {
		return err
	}
	return do()
}

// freezeFile is a file of freezeFS. A silent one never answers an error: it
// fails the store.
type freezeFile struct {
	vfs.File
	fs     freezeFS
	silent bool
	needed bool // waits for room
}

// do runs a write unless frozen.
func (f freezeFile) do(write func() error) error {
	err := f.fs.frozen()
	if err == nil {
		err = write()
	}
	if f.silent && err != nil {
		f.fs.f.fail(err)
		return nil
	}
	return err
}

func (f freezeFile) Write(p []byte) (n int, err error) {
	write := func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	}
	err = f.do(func() error {
		if f.needed {
			return f.fs.p.insist(write)
		}
		err := write()
		if f.fs.p.bears(err) {
			f.fs.p.rest()
		}
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

func (f freezeFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.do(func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	if err == nil {
		n = len(p)
	}
	return n, err
}

func (f freezeFile) Sync() error { return f.do(f.File.Sync) }

func (f freezeFile) SyncData() error { return f.do(f.File.SyncData) }

func (f freezeFile) SyncTo(length int64) (full bool, err error) {
	err = f.do(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Preallocate is only a help, so that its errors are the caller's to overlook. It
// keeps out of the reserve, which is for what is written indeed.
func (f freezeFile) Preallocate(off, length int64) error {
	if err := f.fs.frozen(); err != nil {
		return err
	}
	if !f.fs.space.Has(space.Mail, length) {
		return kv.ErrFull
	}
	return f.File.Preallocate(off, length)
}

func (f freezeFile) Close() error {
	err := f.File.Close()
	if f.silent && err != nil {
		f.fs.f.fail(err)
		return nil
	}
	return err
}
