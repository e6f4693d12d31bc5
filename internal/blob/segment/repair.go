package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"posthouse/internal/blob"
)

// RepairForwards makes lost and damaged forwarding files again from the
// records, which know where they first lay, and returns how many it wrote. It
// reads every header in the log; a rebuild of the index calls it first.
func (s *Store) RepairForwards(ctx context.Context) (int, error) {
	s.gc.Lock()
	defer s.gc.Unlock()
	if err := s.writable(); err != nil {
		return 0, err
	}
	found := make(map[uint32]map[uint32]place)
	for _, num := range s.numbersOf() {
		err := s.eachHeader(ctx, num, func(h *header) error {
			lost, err := s.forwardLost(h)
			if err != nil || !lost {
				return err
			}
			m := found[h.origin.segment]
			if m == nil {
				m = make(map[uint32]place)
				found[h.origin.segment] = m
			}
			m[h.origin.offset] = h.at // of several copies, the newest
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("segment %08x: %w", num, err)
		}
	}
	tables := make(map[uint32]fwdTable, len(found))
	for num, m := range found {
		old, err := s.fwd.table(num)
		if err != nil && !errors.Is(err, blob.ErrCorrupt) {
			return 0, err
		}
		for _, e := range old {
			if _, again := m[e.offset]; !again {
				m[e.offset] = e.to
			}
		}
		tables[num] = tableOf(m)
	}
	if len(tables) == 0 {
		return 0, nil
	}
	if err := s.fwd.prepare(tables); err != nil {
		return 0, err
	}
	if err := s.fwd.publish(tables); err != nil {
		return 0, s.fail(err)
	}
	s.mu.Lock()
	s.fwd.install(tables)
	s.moves.Add(1)
	s.mu.Unlock()
	return len(tables), nil
}

// forwardLost reports whether a record has moved here and nothing leads to it
// or to another copy of it any more.
func (s *Store) forwardLost(h *header) (bool, error) {
	if h.origin == (place{}) {
		return false, nil
	}
	s.mu.Lock()
	dead := s.segs[h.at.segment].isDead(h.at.offset)
	s.mu.Unlock()
	if dead {
		return false, nil
	}
	now, err := s.fwd.resolve(h.origin)
	if errors.Is(err, blob.ErrCorrupt) {
		return true, nil
	}
	return err == nil && !s.exists(now.segment), err
}

// numbersOf is the numbers of all segments in order.
func (s *Store) numbersOf() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	nums := make([]uint32, 0, len(s.segs))
	for num := range s.segs {
		nums = append(nums, num)
	}
	slices.Sort(nums)
	return nums
}

// eachHeader calls fn for every good header of a segment, dead or not. A
// segment that cannot be read at all has none.
func (s *Store) eachHeader(ctx context.Context, num uint32, fn func(*header) error) error {
	if err := s.loadDead(num); err != nil {
		return err
	}
	s.mu.Lock()
	size := s.segs[num].size
	s.mu.Unlock()
	f, err := s.files.acquire(num)
	if errors.Is(err, blob.ErrCorrupt) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.release()
	return scan(f, num, f.nonce, headSize, recordsEnd(f, size), func(it found) error {
		if err := ctx.Err(); err != nil || it.gap {
			return err
		}
		return fn(&it.h)
	})
}
