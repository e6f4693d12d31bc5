package segment

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"

	"posthouse/internal/blob"
)

// A dead file lists the records of a segment that were released: entries of
// offset 4 | CRC 4 | body length 8, appended without fsync. A lost entry costs
// space only, until an Audit makes the collector ask whether the body is referred to.
const deadEntrySize = 16

// maxDeadFile bounds what is read of one; a segment cannot hold more records.
const maxDeadFile = 1 << 30

type deadEntry struct {
	offset uint32
	length uint64
}

func (e deadEntry) encode(b []byte, segment uint32) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, e.offset)
	b = le.AppendUint32(b, e.sum(segment))
	return le.AppendUint64(b, e.length)
}

func (e deadEntry) sum(segment uint32) uint32 {
	var b [16]byte
	le := binary.LittleEndian
	le.PutUint32(b[:], segment)
	le.PutUint32(b[4:], e.offset)
	le.PutUint64(b[8:], e.length)
	return checksum(b[:])
}

// parseDead calls fn for every entry that is whole.
func parseDead(b []byte, segment uint32, fn func(deadEntry)) {
	le := binary.LittleEndian
	for ; len(b) >= deadEntrySize; b = b[deadEntrySize:] {
		e := deadEntry{offset: le.Uint32(b), length: le.Uint64(b[8:])}
		if e.sum(segment) == le.Uint32(b[4:]) && e.length <= maxBody {
			fn(e)
		}
	}
}

// Release says that nothing refers to ref any more. Releasing twice, or what
// does not exist, is no error.
func (s *Store) Release(ref blob.Ref) error {
	if s.opt.ReadOnly {
		return ErrReadOnly
	}
	for {
		moves := s.moves.Load()
		at, err := s.fwd.resolve(place{ref.Segment, ref.Offset})
		if err != nil {
			return err
		}
		if err := s.loadDead(at.segment); err != nil {
			return err
		}
		s.mu.Lock()
		if s.moves.Load() != moves {
			s.mu.Unlock()
			continue
		}
		urgent := s.markDead(at, ref.Length)
		s.mu.Unlock()
		if urgent {
			s.kickGC()
		}
		return nil
	}
}

// markDead notes a dead record; the caller holds mu and has the segment's dead
// set loaded. It reports whether the collector should wake.
func (s *Store) markDead(at place, length uint64) bool {
	seg := s.segs[at.segment]
	if seg == nil || int64(at.offset) >= seg.size || !seg.add(deadEntry{at.offset, length}) {
		return false
	}
	seg.pending = append(seg.pending, deadEntry{at.offset, length})
	return true
}

// add puts an entry into the set; false when it is there already.
func (seg *segment) add(e deadEntry) bool {
	i, ok := slices.BinarySearch(seg.dead, e.offset)
	if ok {
		return false
	}
	seg.dead = slices.Insert(seg.dead, i, e.offset)
	seg.deadBytes += headerSize + int64(e.length)
	return true
}

// isDead reports whether the record at offset was released.
func (seg *segment) isDead(offset uint32) bool {
	_, ok := slices.BinarySearch(seg.dead, offset)
	return ok
}

// loadDead reads the dead file of a segment, and the number of its records,
// when that was not done yet.
func (s *Store) loadDead(num uint32) error {
	s.mu.Lock()
	seg := s.segs[num]
	if seg == nil || seg.deadLoaded {
		s.mu.Unlock()
		return nil
	}
	size, sidecar := seg.size, seg.sidecar
	s.mu.Unlock()

	count := int64(-1)
	if f, err := s.files.acquire(num); err == nil {
		if t, ok := readTrailer(f, size); ok {
			count = t.count
		}
		f.release()
	}
	var entries []deadEntry
	if sidecar {
		b, err := readFile(s.fs, s.path(fileName(num, deadSuffix)), maxDeadFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		parseDead(b, num, func(e deadEntry) { entries = append(entries, e) })
	}
	slices.SortFunc(entries, func(a, b deadEntry) int { return int(int64(a.offset) - int64(b.offset)) })

	s.mu.Lock()
	defer s.mu.Unlock()
	if seg.deadLoaded {
		return nil
	}
	for _, e := range entries {
		seg.add(e)
	}
	if seg.count < 0 {
		seg.count = count
	}
	seg.deadLoaded = true
	return nil
}

// flushDead appends what was released since the last time to the dead files.
func (s *Store) flushDead() {
	type batch struct {
		seg     *segment
		entries []deadEntry
	}
	var work []batch
	s.mu.Lock()
	for _, seg := range s.segs {
		if len(seg.pending) > 0 {
			work = append(work, batch{seg, seg.pending})
			seg.pending = nil
			seg.sidecar = true
		}
	}
	s.mu.Unlock()
	for _, w := range work {
		if err := s.appendDead(w.seg.num, w.entries); err != nil {
			s.log.Warn("cannot note released bodies; their space comes back after an audit", "segment", w.seg.num, "err", err)
		}
	}
}

func (s *Store) appendDead(num uint32, entries []deadEntry) error {
	f, err := s.fs.OpenFile(s.path(fileName(num, deadSuffix)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, 0, len(entries)*deadEntrySize)
	for _, e := range entries {
		b = e.encode(b, num)
	}
	_, err = f.WriteAt(b, size-size%deadEntrySize)
	return err
}
