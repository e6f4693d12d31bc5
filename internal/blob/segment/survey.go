package segment

import (
	"context"
	"errors"
	"slices"

	"posthouse/internal/blob"
)

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
