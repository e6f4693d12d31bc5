package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// openPebble opens the database unless the disk fails meanwhile. Pebble would wait for
// ever for the tables that it makes of its log.
func openPebble(dir string, opt *pebble.Options, f *failure) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		db, err := openGuarded(dir, opt)
		done <- result{db, err}
	}()
	select {
	case r := <-done:
		if r.err == nil && f.err() != nil {
			return nil, errors.Join(f.err(), r.db.Close())
		}
		return r.db, r.err
	case <-f.failed:
	}
	go func() { // should the disk get well while the process still lives
		if r := <-done; r.err == nil {
			r.db.Close()
		}
	}()
	return nil, f.err()
}

// openGuarded makes an error of what Pebble panics about in files that are damaged.
func openGuarded(dir string, opt *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: %w", ErrDamaged, panicError(r))
		}
	}()
	return pebble.Open(dir, opt)
}
