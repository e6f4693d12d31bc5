package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/space"
)

// flushEvery is how long released bodies may wait to be noted on disk, and how
// long the collector rests between two rounds.
const flushEvery = time.Second

// GCStats says what one round of collection did.
type GCStats struct {
	Segments int   // removed
	Moved    int   // records copied
	Freed    int64 // bytes of the removed segments, less those copied
}

// kickGC wakes the collector.
func (s *Store) kickGC() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// collectLoop flushes dead files and collects segments soon after something
// was released.
func (s *Store) collectLoop(ctx context.Context) {
	defer s.owned.Done()
	var timer clock.Timer
	var fire <-chan time.Time
	s.kickGC() // what the last run left
	for {
		select {
		case <-ctx.Done():
			if timer != nil {
				timer.Stop()
			}
			return
		case <-s.kick:
			if fire == nil {
				timer = s.opt.Clock.NewTimer(flushEvery)
				fire = timer.C()
			}
		case <-fire:
			fire = nil
			s.flushDead()
			if _, err := s.GC(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("collecting released bodies", "err", err)
			}
		}
	}
}

// GC runs one round now: it seals an active segment that is large and mostly
// dead, removes sealed segments that are all dead, and rewrites those that are
// more than half dead.
func (s *Store) GC(ctx context.Context) (GCStats, error) {
	s.gc.Lock()
	defer s.gc.Unlock()
	var sum GCStats
	if err := s.writable(); err != nil {
		return sum, err
	}
	if err := s.loadSidecars(ctx); err != nil {
		return sum, err
	}
	if s.activeMostlyDead() {
		if err := s.begin(); err != nil {
			return sum, err
		}
		err := s.sealActive()
		s.inflight.Done()
		if err != nil {
			return sum, err
		}
	}
	var errs []error
	for _, num := range s.candidates() {
		if err := cmp.Or(ctx.Err(), s.failure()); err != nil {
			return sum, err
		}
		if err := s.collect(ctx, num, &sum); err != nil {
			errs = append(errs, fmt.Errorf("segment %08x: %w", num, err))
		}
	}
	return sum, errors.Join(errs...)
}

// loadSidecars reads the dead files that were not needed so far.
func (s *Store) loadSidecars(ctx context.Context) error {
	var nums []uint32
	s.mu.Lock()
	for num, seg := range s.segs {
		if seg.sidecar && !seg.deadLoaded {
			nums = append(nums, num)
		}
	}
	s.mu.Unlock()
	for _, num := range nums {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.loadDead(num); err != nil {
			return err
		}
	}
	return nil
}

// activeMostlyDead reports whether sealing the active segment would make room.
// When there is too little, little is worth it.
func (s *Store) activeMostlyDead() bool {
	least := s.opt.SegmentSize / 4
	if s.opt.Space.Low() != nil {
		least /= 32
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.active
	return a != nil && a.size > least && a.deadBytes*2 > a.size
}

// candidates are the sealed segments worth a closer look, those with the least
// to copy first: they make the room for the others.
func (s *Store) candidates() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var nums []uint32
	for num, seg := range s.segs {
		if !seg.sealed || seg.keep {
			continue
		}
		allDead := seg.deadLoaded && seg.count >= 0 && int64(len(seg.dead)) >= seg.count
		if allDead || seg.suspect || seg.deadBytes*2 > seg.size {
			nums = append(nums, num)
		}
	}
	slices.SortFunc(nums, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(s.segs[a].size-s.segs[a].deadBytes, s.segs[b].size-s.segs[b].deadBytes), cmp.Compare(a, b))
	})
	return nums
}

// collect looks at one segment and removes it when that pays.
func (s *Store) collect(ctx context.Context, num uint32, sum *GCStats) error {
	if err := s.loadDead(num); err != nil {
		return err
	}
	f, err := s.files.acquire(num)
	if err != nil {
		return err
	}
	defer f.release()
	p, err := s.survey(ctx, f)
	if err != nil {
		return err
	}
	s.mu.Lock()
	seg := s.segs[num]
	size := seg.size
	s.mu.Unlock()
	if p.live*2 <= size && !p.damaged {
		if err := p.check(ctx, f); err != nil {
			return err
		}
	}
	crowded := !s.opt.Space.Has(space.Index, p.live) // no room for the copies
	s.mu.Lock()
	seg.keep, seg.suspect = p.damaged, false
	if p.damaged || crowded || p.live*2 > size {
		p.correct(s, seg)
		s.mu.Unlock()
		if p.damaged {
			s.log.Error("segment is damaged and will not be collected", "segment", num)
		}
		return nil
	}
	s.mu.Unlock()
	if err := s.evacuate(ctx, f, p); err != nil {
		return err
	}
	sum.Segments++
	sum.Moved += len(p.keep)
	sum.Freed += size - p.live
	s.stats.collected.Add(1)
	s.stats.moved.Add(int64(len(p.keep)))
	return s.removeSegment(num)
}

// removeSegment deletes the files of a segment that nothing leads to. The dead
// file goes last, so that a crash in between does not bring the dead back.
func (s *Store) removeSegment(num uint32) error {
	s.files.forget(num)
	if err := ignoreMissing(s.fs.Remove(s.path(fileName(num, segSuffix)))); err != nil {
		return err
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	return ignoreMissing(s.fs.Remove(s.path(fileName(num, deadSuffix))))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
