package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"posthouse/internal/blob"
)

// Record is one record of the log, as it is iterated over.
type Record struct {
	Ref     blob.Ref      // as it was given, also when the record has moved since
	Created time.Time     // when it was first committed
	Meta    []byte        // nil when it is damaged itself
	Body    io.ReadSeeker // nil when Err is set and the body cannot be read

	// Err is blob.ErrCorrupt for a damaged record. Ref and Created are zero
	// when its header is what was damaged; Segment, From and To tell where.
	Err      error
	Segment  uint32
	From, To int64
}

// Records calls fn for every record in the log that is not known to be dead, in
// the order of the log, until fn returns an error. Damage is handed to fn as
// well. Checksums are verified. Nothing is collected meanwhile; records
// committed meanwhile may be missed. fn must not keep Body.
func (s *Store) Records(ctx context.Context, fn func(Record) error) error {
	s.gc.Lock()
	defer s.gc.Unlock()
	for _, num := range s.numbersOf() {
		if err := s.segmentRecords(ctx, num, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) segmentRecords(ctx context.Context, num uint32, fn func(Record) error) error {
	if err := s.loadDead(num); err != nil {
		return err
	}
	s.mu.Lock()
	size := s.segs[num].size
	s.mu.Unlock()
	f, err := s.files.acquire(num)
	if errors.Is(err, blob.ErrCorrupt) {
		return fn(Record{Err: err, Segment: num, To: size})
	}
	if err != nil {
		return err
	}
	defer f.release()
	return scan(f, num, f.nonce, headSize, recordsEnd(f, size), func(it found) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec := Record{Segment: num, From: it.from, To: it.to}
		if it.gap {
			rec.Err = fmt.Errorf("%w: no record at %08x/%d", blob.ErrCorrupt, num, it.from)
			return fn(rec)
		}
		known, err := s.knownDead(&it.h)
		if known || err != nil {
			return err
		}
		if err := readRecord(ctx, f, &it.h, &rec); err != nil {
			return err
		}
		return fn(rec)
	})
}

// knownDead reports whether a record was released, or is a copy that nothing
// leads to.
func (s *Store) knownDead(h *header) (bool, error) {
	s.mu.Lock()
	seg := s.segs[h.at.segment]
	dead := seg == nil || seg.isDead(h.at.offset)
	s.mu.Unlock()
	if dead {
		return true, nil
	}
	ref := h.ref()
	now, err := s.fwd.resolve(place{ref.Segment, ref.Offset})
	if errors.Is(err, blob.ErrCorrupt) {
		return false, nil // the forwarding is damaged, not the record
	}
	return err == nil && now != h.at && s.exists(now.segment), err
}

func readRecord(ctx context.Context, f *handle, h *header, rec *Record) error {
	rec.Ref, rec.Created = h.ref(), time.Unix(0, h.created)
	base := int64(h.at.offset) + headerSize
	rec.Body = io.NewSectionReader(f, base, int64(h.bodyLen))
	err := verifyRecord(ctx, f, h)
	if errors.Is(err, blob.ErrCorrupt) {
		rec.Err = err
		err = nil
	}
	if err != nil {
		return err
	}
	rec.Meta = make([]byte, h.metaLen)
	if n, err := f.ReadAt(rec.Meta, base+int64(h.bodyLen)); n < len(rec.Meta) {
		return fmt.Errorf("segment: %w", err)
	}
	if checksum(rec.Meta) != h.metaCRC {
		rec.Meta = nil
	}
	return nil
}
