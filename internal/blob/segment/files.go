package segment

import (
	"container/list"
	"os"
	"sync"

	"posthouse/internal/faultfs"
)

// handle is an open segment file, shared by all its users.
type handle struct {
	faultfs.File
	num    uint32
	nonce  uint64
	cache  *fileCache
	users  int // guarded by cache.mu
	doomed bool
	elem   *list.Element // in cache.idle while nobody uses it
}

// release ends one use.
func (h *handle) release() {
	c := h.cache
	c.mu.Lock()
	h.users--
	var shut []*handle
	if h.users == 0 {
		if h.doomed {
			shut = append(shut, h)
		} else {
			h.elem = c.idle.PushFront(h)
			shut = c.evict()
		}
	}
	c.mu.Unlock()
	closeAll(shut)
}

// fileCache keeps segment files open: those in use, and the last used others up
// to a bound.
type fileCache struct {
	open func(num uint32) (*handle, error)
	max  int

	mu   sync.Mutex
	all  map[uint32]*handle
	idle *list.List // of *handle, last used first
}

func newFileCache(max int, open func(uint32) (*handle, error)) *fileCache {
	return &fileCache{open: open, max: max, all: make(map[uint32]*handle), idle: list.New()}
}

// acquire returns the handle of a segment for one use; the caller releases it.
func (c *fileCache) acquire(num uint32) (*handle, error) {
	if h := c.lookup(num); h != nil {
		return h, nil
	}
	h, err := c.open(num)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if other := c.use(num); other != nil { // somebody was quicker
		c.mu.Unlock()
		_ = h.File.Close()
		return other, nil
	}
	h.cache, h.users = c, 1
	c.all[num] = h
	shut := c.evict()
	c.mu.Unlock()
	closeAll(shut)
	return h, nil
}

// adopt puts a file that was just created into the cache, in use by the caller.
func (c *fileCache) adopt(num uint32, nonce uint64, f faultfs.File) *handle {
	h := &handle{File: f, num: num, nonce: nonce, cache: c, users: 1}
	c.mu.Lock()
	c.all[num] = h
	c.mu.Unlock()
	return h
}

func (c *fileCache) lookup(num uint32) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use(num)
}

func (c *fileCache) use(num uint32) *handle {
	h := c.all[num]
	if h == nil {
		return nil
	}
	if h.elem != nil {
		c.idle.Remove(h.elem)
		h.elem = nil
	}
	h.users++
	return h
}

func (c *fileCache) evict() (shut []*handle) {
	for len(c.all) > c.max && c.idle.Len() > 0 {
		h := c.idle.Remove(c.idle.Back()).(*handle)
		h.elem = nil
		delete(c.all, h.num)
		shut = append(shut, h)
	}
	return shut
}

// forget drops a deleted segment; those who use it keep it until they release.
func (c *fileCache) forget(num uint32) {
	c.mu.Lock()
	h := c.all[num]
	delete(c.all, num)
	var shut []*handle
	if h != nil {
		h.doomed = true
		if h.elem != nil {
			c.idle.Remove(h.elem)
			h.elem = nil
			shut = append(shut, h)
		}
	}
	c.mu.Unlock()
	closeAll(shut)
}

// close closes what is idle; the rest closes when it is released.
func (c *fileCache) close() {
	c.mu.Lock()
	nums := make([]uint32, 0, len(c.all))
	for n := range c.all {
		nums = append(nums, n)
	}
	c.mu.Unlock()
	for _, n := range nums {
		c.forget(n)
	}
}

func closeAll(hs []*handle) {
	for _, h := range hs {
		_ = h.File.Close()
	}
}

// openSegment opens a segment file and learns its nonce.
func (s *Store) openSegment(num uint32) (*handle, error) {
	flag := os.O_RDWR
	if s.opt.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := s.fs.OpenFile(s.path(fileName(num, segSuffix)), flag, 0)
	if err != nil {
		return nil, err
	}
	nonce, err := readNonce(f, num)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &handle{File: f, num: num, nonce: nonce}, nil
}
