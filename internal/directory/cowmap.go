package directory

import (
	"hash/maphash"
	"maps"
	"sync/atomic"
)

// cowShards is a power of two. A write copies one shard: with 100,000 entries
// about a hundred.
const cowShards = 1 << 10

// cowMap is a map that is read without locks. Writers exclude each other.
type cowMap[K comparable, V any] struct {
	seed   maphash.Seed
	shards [cowShards]atomic.Pointer[map[K]V]
}

func newCowMap[K comparable, V any]() *cowMap[K, V] {
	return &cowMap[K, V]{seed: maphash.MakeSeed()}
}

func (m *cowMap[K, V]) shard(k K) *atomic.Pointer[map[K]V] {
	return &m.shards[maphash.Comparable(m.seed, k)&(cowShards-1)]
}

func (m *cowMap[K, V]) get(k K) (v V, ok bool) {
	if p := m.shard(k).Load(); p != nil {
		v, ok = (*p)[k]
	}
	return v, ok
}

func (m *cowMap[K, V]) set(k K, v V) {
	s := m.shard(k)
	next := make(map[K]V)
	if p := s.Load(); p != nil {
		next = maps.Clone(*p)
	}
	next[k] = v
	s.Store(&next)
}

// load is set for a map that nobody reads yet: it does not copy.
func (m *cowMap[K, V]) load(k K, v V) {
	s := m.shard(k)
	p := s.Load()
	if p == nil {
		p = &map[K]V{}
		s.Store(p)
	}
	(*p)[k] = v
}

func (m *cowMap[K, V]) remove(k K) {
	s := m.shard(k)
	p := s.Load()
	if p == nil {
		return
	}
	next := maps.Clone(*p)
	delete(next, k)
	s.Store(&next)
}

// all calls fn for every entry, in no order, until it returns false.
func (m *cowMap[K, V]) all(fn func(K, V) bool) {
	for i := range m.shards {
		p := m.shards[i].Load()
		if p == nil {
			continue
		}
		for k, v := range *p {
			if !fn(k, v) {
				return
			}
		}
	}
}
