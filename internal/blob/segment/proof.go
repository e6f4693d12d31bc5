package segment

import (
	"hash/crc32"
	"sync"
	"sync/atomic"
)

// proof is the checksum of a body that is read, as far as it was read in order. Its
// zero value is at the start. Safe for concurrent use.
type proof struct {
	next atomic.Int64 // what is before it is in sum
	mu   sync.Mutex
	sum  uint32
}

// add takes what was read at an offset, as far as it is new and follows on what is
// known; reached reports whether it has the bytes up to end now and had not before.
func (p *proof) add(b []byte, off, end int64) (sum uint32, reached bool) {
	if next := p.next.Load(); off > next || off+int64(len(b)) <= next {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.next.Load() // there may be others
	if off > next || off+int64(len(b)) <= next {
		return 0, false
	}
	p.sum = crc32.Update(p.sum, castagnoli, b[next-off:])
	next = off + int64(len(b))
	p.next.Store(next)
	return p.sum, next == end
}
