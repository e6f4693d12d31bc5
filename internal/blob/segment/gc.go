package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/space"
)

// flushEvery is how long released bodies may wait to be noted on disk, and how
// long the collector rests between two rounds.
const flushEvery = time.Second

// copyBatch is how much the collector moves at a time; between two batches
// other commits have their turn.
const copyBatch = 1 << 20

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

// plan is what survey found in a segment.
type plan struct {
	keep    []header // to be moved
	moved   []place  // where keep went; zero until it did
	gone    []place  // origins of dead records that had moved here
	newDead []header // dead, and not in the dead set
	undead  []uint32 // in the dead set, and referred to nevertheless
	live    int64    // bytes of keep
	damaged bool
}

// correct brings the dead set in line with the truth when the segment stays.
// The caller holds mu.
func (p *plan) correct(s *Store, seg *segment) {
	for _, h := range p.newDead {
		s.markDead(h.at, h.bodyLen)
	}
	for _, o := range p.undead {
		if i, ok := slices.BinarySearch(seg.dead, o); ok {
			seg.dead = slices.Delete(seg.dead, i, i+1)
		}
	}
	for _, h := range p.keep {
		if slices.Contains(p.undead, h.at.offset) {
			seg.deadBytes -= headerSize + int64(h.bodyLen)
		}
	}
}

// survey finds the live records of a segment by their headers.
func (s *Store) survey(ctx context.Context, f *handle) (*plan, error) {
	s.mu.Lock()
	seg := s.segs[f.num]
	size := seg.size
	live := s.live
	settled := s.opt.Clock.Now().Sub(seg.quiet) >= s.opt.Grace
	dead := slices.Clone(seg.dead)
	s.mu.Unlock()

	p := new(plan)
	err := scan(f, f.num, f.nonce, headSize, recordsEnd(f, size), func(it found) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if it.gap {
			p.damaged = true
			return nil
		}
		_, released := slices.BinarySearch(dead, it.h.at.offset)
		alive, err := s.alive(&it.h, released, settled, live)
		if err != nil {
			return err
		}
		p.note(&it.h, alive, released)
		return nil
	})
	return p, err
}

// check reads the records that are to be moved: damage must not be copied.
func (p *plan) check(ctx context.Context, f *handle) error {
	for i := range p.keep {
		err := verifyRecord(ctx, f, &p.keep[i])
		if errors.Is(err, blob.ErrCorrupt) {
			p.damaged = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) note(h *header, alive, released bool) {
	switch {
	case alive:
		p.keep = append(p.keep, *h)
		p.live += h.size()
		if released {
			p.undead = append(p.undead, h.at.offset)
		}
	default:
		if h.origin != (place{}) {
			p.gone = append(p.gone, h.origin)
		}
		if !released {
			p.newDead = append(p.newDead, *h)
		}
	}
}

// alive decides about one record. A copy that its forwarding does not lead to
// was left by a move that did not finish. Live has the last word on the others,
// except on bodies so young that their first reference may be on its way.
func (s *Store) alive(h *header, released, settled bool, live LiveFunc) (bool, error) {
	ref := h.ref()
	now, err := s.fwd.resolve(place{ref.Segment, ref.Offset})
	if err != nil {
		return false, err
	}
	if now != h.at && s.exists(now.segment) {
		return false, nil
	}
	if live == nil || (!released && !settled) {
		return !released, nil
	}
	return live(ref)
}

func (s *Store) exists(num uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segs[num] != nil
}

// evacuate copies the live records to the end of the log, makes the forwarding
// durable and shows it. From then on nothing needs the segment. A failure
// leaves the segment as it was.
func (s *Store) evacuate(ctx context.Context, f *handle, p *plan) error {
	if err := s.copyRecords(ctx, f, p); err != nil {
		s.abandon(p)
		return err
	}
	tables, err := s.forwarding(f.num, p)
	if err != nil {
		s.abandon(p)
		return err
	}
	if err := s.fwd.prepare(tables); err != nil {
		s.abandon(p)
		return err
	}
	if err := s.fwd.publish(tables); err != nil {
		// Some tables may have their new names already. Both places hold the
		// records, and neither may go before the next start has sorted it out.
		return s.fail(err)
	}
	s.mu.Lock()
	s.fwd.install(tables)
	s.moves.Add(1)
	seg := s.segs[f.num]
	for i := range p.keep {
		h := &p.keep[i]
		// Released while it was copied.
		if seg.isDead(h.at.offset) && !slices.Contains(p.undead, h.at.offset) {
			s.markDead(p.moved[i], h.bodyLen)
		}
	}
	delete(s.segs, f.num)
	s.mu.Unlock()
	if err := s.fwd.remove(tables); err != nil {
		s.log.Warn("cannot remove a forwarding file", "err", err)
	}
	return nil
}

// forwarding is every forwarding table that changes when a segment goes.
func (s *Store) forwarding(num uint32, p *plan) (map[uint32]fwdTable, error) {
	ed := s.fwd.edit()
	for _, from := range p.gone {
		now, err := s.fwd.resolve(from)
		if err != nil {
			return nil, err
		}
		if now.segment != num {
			continue // it led elsewhere: this copy was left behind by an earlier move
		}
		if err := ed.drop(from); err != nil {
			return nil, err
		}
	}
	for i := range p.keep {
		r := p.keep[i].ref()
		if err := ed.set(place{r.Segment, r.Offset}, p.moved[i]); err != nil {
			return nil, err
		}
	}
	return ed.result(), nil
}

// copyRecords appends p.keep to the log, in batches that are awaited, so that
// other commits are never far behind.
func (s *Store) copyRecords(ctx context.Context, f *handle, p *plan) error {
	p.moved = make([]place, len(p.keep))
	for from := 0; from < len(p.keep); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.begin(); err != nil {
			return err
		}
		to, bytes := from, int64(0)
		for to < len(p.keep) && (to == from || bytes+p.keep[to].size() <= copyBatch) {
			bytes += p.keep[to].size()
			to++
		}
		err := s.copyBatch(f, p, from, to)
		s.inflight.Done()
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (s *Store) copyBatch(f *handle, p *plan, from, to int) error {
	rs := make([]*request, 0, to-from)
	var readErr error
	for _, h := range p.keep[from:to] {
		b := make([]byte, int64(h.bodyLen)+int64(h.metaLen))
		if _, readErr = f.ReadAt(b, int64(h.at.offset)+headerSize); readErr != nil {
			break
		}
		ref := h.ref()
		h.origin = place{ref.Segment, ref.Offset}
		r := &request{h: h, chunks: [][]byte{b}, done: make(chan error, 1)}
		rs = append(rs, r)
		s.queue <- r
	}
	var errs []error
	for i, r := range rs {
		if err := <-r.done; err != nil {
			errs = append(errs, err)
			continue
		}
		p.moved[from+i] = r.h.at
	}
	if len(errs) == 0 && readErr != nil {
		return fmt.Errorf("segment: %w", readErr)
	}
	return errors.Join(errs...)
}

// abandon marks the copies of a move that was given up as dead.
func (s *Store) abandon(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range p.moved {
		if at != (place{}) {
			s.markDead(at, p.keep[i].bodyLen)
		}
	}
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
