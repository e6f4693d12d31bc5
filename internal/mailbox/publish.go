package mailbox

import (
	"context"
	"sync"

	"posthouse/internal/id"
)

// publishQueue holds the accounts that have something new to show. It is bounded
// by the accounts that are loaded: each is in it at most once.
type publishQueue struct {
	mu     sync.Mutex
	wake   *sync.Cond
	list   []*account
	closed bool
}

func (q *publishQueue) init() { q.wake = sync.NewCond(&q.mu) }

func (q *publishQueue) add(a *account) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !a.queued && !q.closed {
		a.queued = true
		q.list = append(q.list, a)
		q.wake.Signal()
	}
}

// next waits for an account; nil after close.
func (q *publishQueue) next() *account {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && !q.closed {
		q.wake.Wait()
	}
	if q.closed {
		return nil
	}
	a := q.list[0]
	q.list[0] = nil
	q.list = q.list[1:]
	a.queued = false // what comes from now on needs another round
	return a
}

func (q *publishQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Broadcast()
}

// Published tells the sessions of acct that a transaction with a DeliverTx is
// durable. It does not block.
func (s *Store) Published(acct id.Account) {
	s.mu.Lock()
	a := s.accounts[acct]
	s.mu.Unlock()
	if a != nil {
		s.queue.add(a)
	}
}

func (s *Store) publishLoop(ctx context.Context) {
	for {
		a := s.queue.next()
		if a == nil {
			return
		}
		// An account that cannot be read now shows it to its sessions at their
		// next command; there is nobody here to tell.
		_ = a.refresh(ctx, 0)
	}
}

// watchers are the channels of those who wait for a change. The zero value is
// ready for use.
type watchers struct {
	mu  sync.Mutex
	set map[chan struct{}]struct{}
}

// add returns a channel that holds a value after wake, and a function that ends
// the watch.
func (w *watchers) add() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set == nil {
		w.set = make(map[chan struct{}]struct{})
	}
	w.set[c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.set, c)
	}
}

func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.set {
		select {
		case c <- struct{}{}:
		default: // it has a value already
		}
	}
}

func (w *watchers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.set) > 0
}
