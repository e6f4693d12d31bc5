package mailbox

import (
	"cmp"
	"iter"
	"slices"
)

// Add appends a UID, joining it to the last range when it follows it.
func (s UIDSet) Add(uid uint32) UIDSet {
	if n := len(s); n > 0 && s[n-1].Last+1 == uid && uid != 0 {
		s[n-1].Last = uid
		return s
	}
	return append(s, UIDRange{uid, uid})
}

// Count is the number of UIDs, of ranges that do not overlap.
func (s UIDSet) Count() int {
	n := 0
	for _, r := range s {
		n += int(r.Last) - int(r.First) + 1
	}
	return n
}

// All iterates over the UIDs in order. Mind that a set from a client may span
// all 4,294,967,295 of them.
func (s UIDSet) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s {
			for uid := uint64(r.First); uid <= uint64(r.Last); uid++ {
				if !yield(uint32(uid)) {
					return
				}
			}
		}
	}
}

// Contains reports whether uid is in the set, which must be Sorted.
func (s UIDSet) Contains(uid uint32) bool {
	_, ok := slices.BinarySearchFunc(s, uid, func(r UIDRange, uid uint32) int {
		switch {
		case r.Last < uid:
			return -1
		case r.First > uid:
			return 1
		}
		return 0
	})
	return ok
}

// Sorted is the same set in ascending order with neighbours and overlaps joined;
// it is s itself when s is so already.
func (s UIDSet) Sorted() UIDSet {
	tidy := true
	for i, r := range s {
		if r.First > r.Last || i > 0 && uint64(r.First) <= uint64(s[i-1].Last)+1 {
			tidy = false
			break
		}
	}
	if tidy {
		return s
	}
	in := slices.Clone(s)
	for i, r := range in {
		if r.First > r.Last {
			in[i] = UIDRange{r.Last, r.First}
		}
	}
	slices.SortFunc(in, func(a, b UIDRange) int { return cmp.Compare(a.First, b.First) })
	out := in[:0]
	for _, r := range in {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
