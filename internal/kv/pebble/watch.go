package pebble

import (
	"sync"

	"posthouse/internal/kv"
)

// watchers are those who want to know that a partition changed.
type watchers struct {
	mu sync.RWMutex
	m  map[kv.Partition]map[chan struct{}]struct{}
}

func newWatchers() *watchers {
	return &watchers{m: make(map[kv.Partition]map[chan struct{}]struct{})}
}

func (w *watchers) add(p kv.Partition) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m[p] == nil {
		w.m[p] = make(map[chan struct{}]struct{})
	}
	w.m[p][c] = struct{}{}
	return c, func() { w.remove(p, c) }
}

func (w *watchers) remove(p kv.Partition, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.m[p], c)
	if len(w.m[p]) == 0 {
		delete(w.m, p)
	}
}

// wake puts a value into every channel that watches one of parts and holds none.
func (w *watchers) wake(parts []kv.Partition) {
	if len(parts) == 0 {
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.m) == 0 {
		return
	}
	for _, p := range parts {
		for c := range w.m[p] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
