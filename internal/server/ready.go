package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"posthouse/internal/kv"
)

// readiness knows which listeners serve.
type readiness struct {
	mu       sync.Mutex
	stopping bool
	serving  map[string]int
	ended    map[string]int

	probing atomic.Bool // a probe is under way

	probed time.Time
	probe  error
}

func (r *readiness) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.serving == nil {
		r.serving, r.ended = make(map[string]int), make(map[string]int)
	}
	r.serving[name]++
}

// done notes the end of a listener; true when the house is stopping anyway.
func (r *readiness) done(name string) (stopping bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving[name]--
	r.ended[name]++
	return r.stopping
}

func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// probeEvery bounds how often readiness writes to the store.
const probeEvery = time.Second

// isReady is nil when every listener accepts and the store writes, with room
// for new mail.
func (s *Server) isReady(ctx context.Context) error {
	r := &s.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return errors.New("stopping")
	}
	for name, n := range r.ended {
		if n > 0 {
			return fmt.Errorf("listener %s has ended", name)
		}
	}
	if err := s.ground.space.Low(); err != nil {
		return fmt.Errorf("no room for new mail: %w", err)
	}
	if now := time.Now(); now.Sub(r.probed) > probeEvery {
		r.probed, r.probe = now, s.probeStore(ctx)
	}
	return r.probe
}

// probeStore writes to the index and looks whether the bodies can be written.
func (s *Server) probeStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	key := kv.NewKey(kv.StorePartition).String("probe")
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the store does not write: %w", err)
	}
	if !s.ready.probing.CompareAndSwap(false, true) {
		return errors.New("the store does not write: it waits for the disk")
	}
	done := make(chan error, 1)
	go func() { // an Update that waits for the disk does not end with ctx
		err := s.ground.db.Update(ctx, kv.Partitions{kv.StorePartition}, func(tx kv.Tx) error {
			return tx.Set(key, []byte(time.Now().UTC().Format(time.RFC3339)))
		})
		s.ready.probing.Store(false)
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the store does not write: %w", err)
	}
	if s.ground.bodies.Stats().Failed {
		return errors.New("the body log has failed")
	}
	return nil
}
