package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// copyBatch is how much the collector moves at a time; between two batches
// other commits have their turn.
const copyBatch = 1 << 20

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
