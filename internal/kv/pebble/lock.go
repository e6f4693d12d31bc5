package pebble

import (
	"context"
	"sync"

	"posthouse/internal/kv"
)

// keyedLocks is one mutex per partition, made when first wanted and dropped
// when nobody holds or awaits it. Sets of partitions are locked in sorted order,
// so two Updates never wait for each other in a circle.
type keyedLocks struct {
	mu   sync.Mutex
	m    map[kv.Partition]*keyedLock
	free []*keyedLock
}

type keyedLock struct {
	refs  int           // holders and waiters, under keyedLocks.mu
	token chan struct{} // full while held
}

// maxFreeLocks bounds how many unused locks are kept for reuse.
const maxFreeLocks = 256

func newKeyedLocks() *keyedLocks {
	return &keyedLocks{m: make(map[kv.Partition]*keyedLock)}
}

// lock takes every partition of sorted, or none when ctx ends or failed closes.
// It keeps in held what unlock needs.
func (k *keyedLocks) lock(ctx context.Context, failed <-chan struct{}, sorted kv.Partitions, held *[]*keyedLock) error {
	locks := k.ref(sorted, (*held)[:0])
	*held = locks
	for i, l := range locks {
		select {
		case l.token <- struct{}{}:
			continue
		default:
		}
		var err error
		select {
		case l.token <- struct{}{}:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-failed:
			err = kv.ErrFailed
		}
		for _, taken := range locks[:i] {
			<-taken.token
		}
		k.unref(sorted, locks)
		return err
	}
	return nil
}

// unlock gives back what lock took.
func (k *keyedLocks) unlock(sorted kv.Partitions, held *[]*keyedLock) {
	for _, l := range *held {
		<-l.token
	}
	k.unref(sorted, *held)
	clear(*held)
}

func (k *keyedLocks) ref(sorted kv.Partitions, held []*keyedLock) []*keyedLock {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range sorted {
		l := k.m[p]
		if l == nil {
			l = k.take()
			k.m[p] = l
		}
		l.refs++
		held = append(held, l)
	}
	return held
}

func (k *keyedLocks) take() *keyedLock {
	if n := len(k.free); n > 0 {
		l := k.free[n-1]
		k.free = k.free[:n-1]
		return l
	}
	return &keyedLock{token: make(chan struct{}, 1)}
}

func (k *keyedLocks) unref(sorted kv.Partitions, held []*keyedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range held {
		if l.refs--; l.refs > 0 {
			continue
		}
		delete(k.m, sorted[i])
		if len(k.free) < maxFreeLocks {
			k.free = append(k.free, l)
		}
	}
}

// size is the number of locks in use.
func (k *keyedLocks) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.m)
}
