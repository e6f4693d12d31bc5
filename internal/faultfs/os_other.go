//go:build !linux

package faultfs

import (
	"errors"
	"math"
	"os"
)

// WritevAt writes buffer by buffer where there is no pwritev.
func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func space(string) (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

// lockFile does nothing: the server is built for Linux, other systems are for
// development only.
func lockFile(*os.File) error { return nil }
