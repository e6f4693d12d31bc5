package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthouse/internal/blob"
)

// recover reads the directory, removes what a crash left half-made, and brings
// every segment that may lack its trailer to a known end.
func (s *Store) recover() error {
	st, stateOK, err := s.readState()
	if err != nil {
		return err
	}
	highest, err := s.readDir()
	if err != nil {
		return err
	}
	s.next = max(1, highest+1)
	if stateOK {
		s.next = max(s.next, st.reserved)
	} else if highest > 0 {
		s.log.Warn("state file of the body store is missing or damaged; looking at every segment", "dir", s.dir)
		s.next += lostBlock
	}
	s.reserved = s.next // the next allocation writes the state anew

	nums := make([]uint32, 0, len(s.segs))
	for num := range s.segs {
		if !stateOK || num >= st.active {
			nums = append(nums, num)
		} else {
			s.segs[num].sealed = true
		}
	}
	slices.Sort(nums)
	for i, num := range nums {
		clean := int64(0)
		if stateOK && num == st.active {
			clean = st.clean
		}
		// A move that did not finish left copies in the newest segments.
		s.segs[num].suspect = s.segs[num].suspect || !st.orderly()
		if err := s.recoverSegment(s.segs[num], clean, i == len(nums)-1); err != nil {
			return fmt.Errorf("segment %08x: %w", num, err)
		}
	}
	return nil
}

// readDir notes what is there and returns the highest number in sight.
func (s *Store) readDir() (highest uint32, err error) {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return 0, err
	}
	var sidecars []uint32
	for _, e := range entries {
		num, suffix, ok := parseName(e.Name())
		if strings.HasSuffix(e.Name(), partSuffix) || strings.HasSuffix(e.Name(), tmpSuffix) {
			if !s.opt.ReadOnly {
				if err := s.fs.Remove(s.path(e.Name())); err != nil {
					return 0, err
				}
			}
			continue
		}
		if !ok {
			continue
		}
		highest = max(highest, num)
		switch suffix {
		case segSuffix:
			info, err := e.Info()
			if err != nil {
				return 0, err
			}
			s.segs[num] = &segment{num: num, size: info.Size(), count: -1, quiet: info.ModTime()}
		case fwdSuffix:
			s.fwd.have[num] = struct{}{}
		case deadSuffix:
			sidecars = append(sidecars, num)
		}
	}
	for _, num := range sidecars {
		if seg := s.segs[num]; seg != nil {
			seg.sidecar = true
		} else if !s.opt.ReadOnly {
			_ = s.fs.Remove(s.path(fileName(num, deadSuffix)))
		}
	}
	for num, seg := range s.segs {
		// A crash came between moving its records and removing it.
		_, seg.suspect = s.fwd.have[num]
	}
	return highest, nil
}

// recoverSegment finds out whether a segment is sealed. When it is not, it cuts
// a torn tail, and the newest one that is whole goes on as the active segment.
// clean is how far the log was known to be good at its last orderly end.
func (s *Store) recoverSegment(seg *segment, clean int64, newest bool) error {
	if seg.size <= headSize { // made, but never used
		delete(s.segs, seg.num)
		if s.opt.ReadOnly {
			return nil
		}
		return s.fs.Remove(s.path(fileName(seg.num, segSuffix)))
	}
	f, err := s.files.acquire(seg.num)
	if errors.Is(err, blob.ErrCorrupt) {
		s.log.Error("segment cannot be read", "segment", seg.num, "err", err)
		seg.sealed, seg.keep = true, true
		return nil
	}
	if err != nil {
		return err
	}
	defer f.release()
	if t, ok := readTrailer(f, seg.size); ok {
		seg.sealed, seg.count = true, t.count
		return nil
	}
	end, count, whole, err := s.inspectTail(f, seg.size, clean)
	if err != nil {
		return err
	}
	if s.opt.ReadOnly {
		seg.size, seg.count, seg.sealed = end, count, true
		return nil
	}
	if end < seg.size {
		s.log.Info("cut an unfinished write off the log", "segment", seg.num, "at", end, "bytes", seg.size-end)
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	seg.size, seg.count, seg.deadLoaded = end, count, !seg.sidecar
	if newest && whole && seg.size < s.opt.SegmentSize {
		s.active = seg
		return nil
	}
	return s.sealRecovered(f, seg)
}

// sealRecovered ends a segment that nothing will be appended to.
func (s *Store) sealRecovered(f *handle, seg *segment) error {
	var t [trailerSize]byte
	(&trailer{nonce: f.nonce, count: seg.count}).encode(t[:])
	if _, err := f.WriteAt(t[:], seg.size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	seg.size += trailerSize
	seg.sealed = true
	return nil
}

// inspectTail checks every record of an unsealed segment. end is where it
// should be cut: the end of the file unless what follows the last record looks
// like an unfinished append and nothing else. Damage in the middle, or damage
// that no unfinished append explains, is left alone and reported (whole =
// false), for it may be something that was acknowledged.
func (s *Store) inspectTail(f *handle, size, clean int64) (end, count int64, whole bool, err error) {
	end, whole = size, true
	err = scan(f, f.num, f.nonce, headSize, size, func(it found) error {
		if !it.gap {
			count++
			err := verifyRecord(context.Background(), f, &it.h)
			if errors.Is(err, blob.ErrCorrupt) {
				whole = false
				s.log.Error("damaged record in the log", "segment", f.num, "offset", it.from, "err", err)
				return nil
			}
			return err
		}
		if it.to == size && it.from >= clean {
			torn, err := looksTorn(f, it)
			if torn || err != nil {
				end = it.from
				return err
			}
		}
		whole = false
		s.log.Error("damage in the log", "segment", f.num, "from", it.from, "to", it.to)
		return nil
	})
	return end, count, whole, err
}

// looksTorn reports whether the gap at the end of a file is what an append that
// did not finish leaves: part of a header, a good header with less behind it
// than it says, or zeros.
func looksTorn(f *handle, it found) (bool, error) {
	if it.to-it.from < headerSize || it.h.at != (place{}) {
		return true, nil
	}
	return allZero(f, it.from, it.to)
}

func readTrailer(f *handle, size int64) (trailer, bool) {
	if size < headSize+trailerSize {
		return trailer{}, false
	}
	var b [trailerSize]byte
	if n, _ := f.ReadAt(b[:], size-trailerSize); n < trailerSize {
		return trailer{}, false
	}
	return parseTrailer(b[:], f.nonce)
}

// recordsEnd is where the records of a segment end: before its trailer, if any.
func recordsEnd(f *handle, size int64) int64 {
	if _, ok := readTrailer(f, size); ok {
		return size - trailerSize
	}
	return size
}
