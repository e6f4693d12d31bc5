package segment

import (
	"fmt"
	"sync"
	"time"

	"posthouse/internal/blob"
)

// AutoReserve is an Options.Reserve: the smaller of 64 MB and a tenth of the
// file system.
const AutoReserve = -1

const maxAutoReserve = 64 << 20

// spaceFor is how long an answer of the file system is good for.
const spaceFor = time.Second

// reserve refuses new bodies before the disk is full, so that the index beside
// them can go on: flags, expunges, what became of queued mail. The collector
// does not ask: what it copies makes room.
type reserve struct {
	s *Store

	mu     sync.Mutex
	asked  time.Time
	free   int64 // when asked, less what was written since
	keep   int64
	taken  int64 // bytes that are being written
	beyond bool  // the last answer was a refusal; for the log
}

// take sets n bytes aside for a write, or answers ErrFull. The caller calls
// give when the write is over.
func (r *reserve) take(n int64) error {
	if r.s.opt.Reserve == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fits(n); err != nil {
		return err
	}
	r.taken += n
	return nil
}

// fits answers ErrFull when n more bytes would go into the reserve.
func (r *reserve) fits(n int64) error {
	if now := r.s.opt.Clock.Now(); r.asked.IsZero() || now.Sub(r.asked) >= spaceFor || now.Before(r.asked) {
		r.ask(now)
	}
	if r.free-r.taken-n < r.keep {
		r.note(true)
		return fmt.Errorf("%w: what is free is kept for the index (%d bytes)", blob.ErrFull, r.keep)
	}
	r.note(false)
	return nil
}

// give ends a take of n bytes. They count as written until the file system is
// asked again.
func (r *reserve) give(n int64) {
	if r.s.opt.Reserve == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
	r.free -= n
}

// ask reads the free space. When that fails nothing is refused: the disk itself
// says when it is full.
func (r *reserve) ask(now time.Time) {
	r.asked = now
	free, total, err := r.s.fs.Space(r.s.dir)
	if err != nil {
		r.s.log.Warn("cannot read the free space of the disk", "err", err)
		r.keep = 0
		r.free = 1 << 62
		return
	}
	r.free, r.keep = free, r.s.opt.Reserve
	if r.keep < 0 {
		r.keep = min(maxAutoReserve, total/10)
	}
}

// note logs when refusing begins and ends.
func (r *reserve) note(beyond bool) {
	if r.beyond == beyond {
		return
	}
	r.beyond = beyond
	if beyond {
		r.s.log.Error("no room for new mail: the disk has no more than the reserve of the index", "free", r.free, "reserve", r.keep)
		return
	}
	r.s.log.Info("there is room for new mail again", "free", r.free)
}

// Room is nil when a body of size bytes would fit now, else ErrFull. It is
// cheap: the file system is asked once a second.
func (s *Store) Room(size int64) error {
	if s.opt.Reserve == 0 {
		return nil
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	return s.space.fits(size)
}
