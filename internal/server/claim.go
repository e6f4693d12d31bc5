package server

import (
	"errors"
	"fmt"
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

// serves reports whether a server has the data directory.
func serves(data string) bool {
	if _, err := os.Stat(data); err != nil {
		return false
	}
	dir, err := claim(data)
	if err == nil {
		_ = dir.Close()
	}
	return errors.Is(err, pebble.ErrLocked)
}

// ExplainLock says to a command who has the store open, as far as that can be known.
func ExplainLock(data string, err error) error {
	if !errors.Is(err, pebble.ErrLocked) || !serves(data) {
		return err
	}
	if !exists(SocketPath(data)) {
		return fmt.Errorf("a server runs on %s, but its socket %s is not there: it is still starting, or must be restarted", data, socketName)
	}
	return err
}
