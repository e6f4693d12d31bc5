package segment

import (
	"context"

	"posthouse/internal/blob"
)

// Audit finds the space of bodies whose release was lost in a crash, without
// reading the log: scan hands every body that is referred to over to yield (see
// refs.Scan), and segments that this leaves less than half live are looked at
// in the next round of collection. It is worth a call now and then. It needs SetLive
// to have effect, which has the last word on each body.
func (s *Store) Audit(ctx context.Context, scan func(yield func(blob.Ref) bool) error) error {
	// What is committed from here on is not missed in the sum, for its segment
	// is not yet settled.
	live := make(map[uint32]int64)
	var failed error
	err := scan(func(ref blob.Ref) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		at, err := s.fwd.resolve(place{ref.Segment, ref.Offset})
		if err != nil {
			failed = err
			return false
		}
		live[at.segment] += headerSize + int64(ref.Length)
		return true
	})
	if err != nil || failed != nil {
		if err == nil {
			err = failed
		}
		return err
	}
	now := s.opt.Clock.Now()
	s.mu.Lock()
	for num, seg := range s.segs {
		if seg.sealed && now.Sub(seg.quiet) >= s.opt.Grace && live[num]*2 < seg.size {
			seg.suspect = true
		}
	}
	s.mu.Unlock()
	s.kickGC()
	return nil
}
