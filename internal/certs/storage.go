package certs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// errStorageClosed is what work hears that would begin after the end.
var errStorageClosed = errors.New("certs: the storage is closed")

// closeWithin bounds how long work that is told to stop is waited for.
const closeWithin = 30 * time.Second

// storage is the directory of the ACME library, whose work in the background has no
// end that one could wait for. Nothing begins to write after close, and who holds a
// lock then is waited for.
type storage struct {
	*certmagic.FileStorage

	mu     sync.Mutex
	closed bool
	work   int           // writes under way and locks held
	idle   chan struct{} // closed when closed and without work
}

func newStorage(dir string) *storage {
	return &storage{FileStorage: &certmagic.FileStorage{Path: dir}, idle: make(chan struct{})}
}

// begin counts work in; within work that is under way more may begin at any time.
func (s *storage) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && s.work == 0 {
		return errStorageClosed
	}
	s.work++
	return nil
}

func (s *storage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work--; s.work == 0 && s.closed {
		close(s.idle)
	}
}

// close waits for work under way, which its context has told to stop. It is called
// once.
func (s *storage) close() error {
	s.mu.Lock()
	s.closed = true
	if s.work == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-time.After(closeWithin):
		return errors.New("certs: the work on a certificate does not stop")
	}
}

// Lock is certmagic.Locker.
func (s *storage) Lock(ctx context.Context, name string) error {
	_, err := s.locked(func() (bool, error) { return true, s.FileStorage.Lock(ctx, name) })
	return err
}

// TryLock is certmagic.TryLocker.
func (s *storage) TryLock(ctx context.Context, name string) (bool, error) {
	return s.locked(func() (bool, error) { return s.FileStorage.TryLock(ctx, name) })
}

// locked counts a lock in, when lock gets it.
func (s *storage) locked(lock func() (bool, error)) (bool, error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	ok, err := lock()
	if !ok || err != nil {
		s.end()
	}
	return ok, err
}

// Unlock is certmagic.Locker.
func (s *storage) Unlock(ctx context.Context, name string) error {
	defer s.end()
	return s.FileStorage.Unlock(ctx, name)
}

// Store is certmagic.Storage.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	return s.FileStorage.Store(ctx, key, value)
}
