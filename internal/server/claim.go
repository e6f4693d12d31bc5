package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"posthouse/internal/kv/pebble"
)

// claim makes this process the one server of a data directory until what it gives is
// closed; pebble.ErrLocked when there is one. Commands do not ask for it, so that a
// server knows whether waiting for the store is of any use. Where the file system has
// no such locks, that of the store tells, only later.
func claim(data string) (*os.File, error) {
	if err := os.MkdirAll(data, dirMode); err != nil {
		return nil, err
	}
	dir, err := os.Open(data)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		_ = dir.Close()
		return nil, pebble.ErrLocked
	}
	return dir, nil
}
