package faultfs

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// maxIov is the kernel's bound on the buffers of one pwritev.
const maxIov = 1024

// Sync is fdatasync: it skips the times, and writes the size when it changed.
func (f *osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return wrap("fdatasync", f.Name(), err)
		}
	}
}

// WritevAt is pwritev, continued after a short write.
func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := 0
	for len(bufs) > 0 {
		batch := bufs[:min(len(bufs), maxIov)]
		bufs = bufs[len(batch):]
		n, err := f.writeBatch(batch, off)
		total += n
		off += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *osFile) writeBatch(batch [][]byte, off int64) (int, error) {
	want := 0
	for _, b := range batch {
		want += len(b)
	}
	if want == 0 {
		return 0, nil
	}
	n, err := unix.Pwritev(int(f.Fd()), batch, off)
	n = max(n, 0)
	if err != nil && err != unix.EINTR {
		return n, wrap("pwritev", f.Name(), err)
	}
	if n == want {
		return n, nil
	}
	// A short write: rare enough to finish it buffer by buffer. What stopped
	// the kernel (a full disk) shows as the error of the next write.
	skip := n
	for _, b := range batch {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		m, err := f.WriteAt(b[skip:], off+int64(n))
		n += m
		skip = 0
		if err != nil {
			return n, err
		}
	}
	if n < want {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// allocate sets room aside for the first size bytes of f.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		if err != unix.EINTR {
			return wrap("fallocate", f.Name(), err)
		}
	}
}

// space counts what the system keeps for root as not free.
func space(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(dir, &st)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, wrap("statfs", dir, err)
	}
	size := uint64(st.Bsize)
	return bytesOf(st.Bavail, size), bytesOf(st.Blocks, size), nil
}

// bytesOf is n blocks in bytes; some file systems call themselves endless.
func bytesOf(n, size uint64) int64 {
	if size != 0 && n > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(n * size)
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return wrap("flock", f.Name(), err)
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}
