package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// ErrPowerOff is what every operation answers after PowerOff.
var ErrPowerOff = errors.New("faultfs: no power")

// sector is what a disk writes whole or not at all.
const sector = 512

// Disk is a file system on a real directory that remembers what was synced, so
// that it can show what a loss of power may leave behind: everything synced,
// and any part of the rest. Names become durable by SyncDir, and nothing else
// says in which order. It holds a copy of every file in memory.
type Disk struct {
	mu    sync.Mutex
	off   bool
	names map[string]*inode // as the program sees them
	kept  map[string]*inode // as the disk has them
	log   []nameChange      // since the last SyncDir
}

// inode is a file's durable content and what was done to it since.
type inode struct {
	durable []byte
	pending []change
}

// change is one write, or the setting of a size when data is nil.
type change struct {
	off  int64
	data []byte
}

// nameChange gives a name to an inode, or takes it away when node is nil.
type nameChange struct {
	from, to string
	node     *inode
}

// NewDisk is a disk with power and without files.
func NewDisk() *Disk {
	return &Disk{names: make(map[string]*inode), kept: make(map[string]*inode)}
}

// PowerOff makes every later operation fail.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// Materialise writes into dir one state that the disk may be found in when the
// power comes back, drawn from rng: of what was not synced, the first or any of
// the changes of names, and of every file any of the sectors written.
func (d *Disk) Materialise(dir string, rng *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := maps.Clone(d.kept)
	ordered, cut := rng.IntN(2) == 0, rng.IntN(len(d.log)+1)
	for i, c := range d.log {
		if ordered && i < cut || !ordered && rng.IntN(2) == 0 {
			c.apply(names)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, node := range names {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), node.after(rng), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c nameChange) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.node != nil {
		names[c.to] = c.node
	} else {
		delete(names, c.to)
	}
}

// after is the content of a file when its power went. Often a file ends where
// some write ended; sometimes in the middle of one, or with sectors missing.
func (n *inode) after(rng *rand.Rand) []byte {
	b := append([]byte(nil), n.durable...)
	if len(n.pending) == 0 {
		return b
	}
	holes := rng.IntN(3) == 0
	for i, c := range n.pending[:rng.IntN(len(n.pending)+1)] {
		data := c.data
		if data != nil && i == len(n.pending)-1 && rng.IntN(2) == 0 {
			data = data[:rng.IntN(len(data)+1)]
		}
		b = c.apply(b, data, func() bool { return !holes || rng.IntN(2) == 0 })
	}
	return b
}

// apply does the change to b, keeping those sectors for which keep says so.
func (c change) apply(b, data []byte, keep func() bool) []byte {
	if c.data == nil {
		return resize(b, c.off)
	}
	end := c.off + int64(len(data))
	if end > int64(len(b)) {
		b = resize(b, end)
	}
	for len(data) > 0 {
		at := end - int64(len(data))
		n := min(len(data), int(sector-at%sector))
		if keep() {
			copy(b[at:], data[:n])
		}
		data = data[n:]
	}
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// do runs an operation, and notes it when it succeeded, as one step.
func (d *Disk) do(op func() error, note func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return ErrPowerOff
	}
	if err := op(); err != nil {
		return err
	}
	note()
	return nil
}

// OpenFile opens a real file.
func (d *Disk) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var f File
	var node *inode
	err := d.do(func() (err error) {
		f, err = OS{}.OpenFile(name, flag, perm)
		return err
	}, func() {
		node = d.names[name]
		if node == nil {
			node = new(inode)
			d.names[name] = node
			d.log = append(d.log, nameChange{to: name, node: node})
		}
		if flag&os.O_TRUNC != 0 {
			node.pending = append(node.pending, change{})
		}
	})
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, d: d, node: node}, nil
}

// Rename renames a file.
func (d *Disk) Rename(from, to string) error {
	return d.do(func() error { return os.Rename(from, to) }, func() {
		node := d.names[from]
		delete(d.names, from)
		d.names[to] = node
		d.log = append(d.log, nameChange{from: from, to: to, node: node})
	})
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	return d.do(func() error { return os.Remove(name) }, func() {
		delete(d.names, name)
		d.log = append(d.log, nameChange{to: name})
	})
}

// ReadDir is os.ReadDir.
func (d *Disk) ReadDir(dir string) (es []fs.DirEntry, err error) {
	err = d.do(func() (err error) { es, err = os.ReadDir(dir); return err }, func() {})
	return es, err
}

// MkdirAll is os.MkdirAll, and durable at once.
func (d *Disk) MkdirAll(dir string, perm fs.FileMode) error {
	return d.do(func() error { return os.MkdirAll(dir, perm) }, func() {})
}

// SyncDir makes all names durable.
func (d *Disk) SyncDir(string) error {
	return d.do(func() error { return nil }, func() {
		for _, c := range d.log {
			c.apply(d.kept)
		}
		d.log = nil
	})
}

// Space is that of the directory below.
func (d *Disk) Space(dir string) (free, total int64, err error) { return OS{}.Space(dir) }

// Allocate is of no use here.
func (d *Disk) Allocate(name string, _ int64) error {
	return &fs.PathError{Op: "fallocate", Path: name, Err: errors.ErrUnsupported}
}

// Lock takes no lock: a disk serves one test.
func (d *Disk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

type diskFile struct {
	File
	d    *Disk
	node *inode
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	return f.WritevAt([][]byte{p}, off)
}

func (f *diskFile) WritevAt(bufs [][]byte, off int64) (n int, err error) {
	err = f.d.do(func() (err error) {
		n, err = f.File.WritevAt(bufs, off)
		return err
	}, func() {
		data := make([]byte, 0, n)
		for _, b := range bufs {
			data = append(data, b...)
		}
		if len(data) > 0 {
			f.node.pending = append(f.node.pending, change{off, data})
		}
	})
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	return f.d.do(func() error { return f.File.Truncate(size) }, func() {
		f.node.pending = append(f.node.pending, change{off: size})
	})
}

func (f *diskFile) Sync() error {
	return f.d.do(func() error { return nil }, func() {
		for _, c := range f.node.pending {
			f.node.durable = c.apply(f.node.durable, c.data, func() bool { return true })
		}
		f.node.pending = nil
	})
}
