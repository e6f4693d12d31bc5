package mailbox

import (
	"iter"
	"sort"
)

// chunkSize is the most entries of a chunk.
const chunkSize = 1024

// Snapshot is one immutable state of a mailbox: its entries by UID, in chunks
// that later snapshots share as far as nothing changed in them.
type Snapshot struct {
	chunks   [][]Entry // none empty; see builder for who may append to the last
	starts   []int     // position of each chunk's first entry
	n        int
	keywords []string
	status   Status
}

// Len is the number of messages.
func (s *Snapshot) Len() int { return s.n }

// At is the i-th message, 0 <= i < Len; its sequence number is i+1.
func (s *Snapshot) At(i int) Entry { return *s.at(i) }

func (s *Snapshot) at(i int) *Entry {
	c := s.chunkOf(i)
	return &s.chunks[c][i-s.starts[c]]
}

// chunkOf finds the chunk with position i.
func (s *Snapshot) chunkOf(i int) int {
	return sort.Search(len(s.starts), func(c int) bool { return s.starts[c] > i }) - 1
}

// Index finds the first message with UID >= uid: its position, and whether it
// is that very UID.
func (s *Snapshot) Index(uid uint32) (i int, exact bool) {
	c := sort.Search(len(s.chunks), func(c int) bool {
		return s.chunks[c][len(s.chunks[c])-1].UID >= uid
	})
	if c == len(s.chunks) {
		return s.n, false
	}
	chunk := s.chunks[c]
	k := sort.Search(len(chunk), func(k int) bool { return chunk[k].UID >= uid })
	return s.starts[c] + k, chunk[k].UID == uid
}

// Range iterates over positions [from, to) without copying the snapshot. The
// entries must not be changed.
func (s *Snapshot) Range(from, to int) iter.Seq2[int, *Entry] {
	return func(yield func(int, *Entry) bool) {
		from, to := max(from, 0), min(to, s.n)
		if from >= to {
			return
		}
		for c := s.chunkOf(from); c < len(s.chunks) && s.starts[c] < to; c++ {
			chunk, start := s.chunks[c], s.starts[c]
			for k := max(0, from-start); k < len(chunk) && start+k < to; k++ {
				if !yield(start+k, &chunk[k]) {
					return
				}
			}
		}
	}
}

// Keywords is the mailbox's dictionary: bit i of Entry.Keywords is Keywords()[i]
// for entries of this snapshot; in another one a name may have given way to a new
// one. As long as they are the same, snapshots share the slice.
func (s *Snapshot) Keywords() []string { return s.keywords }

// KeywordsFull reports that no new keyword can be added (PERMANENTFLAGS without
// \*): there are as many as can be, and messages bear all of them.
func (s *Snapshot) KeywordsFull() bool {
	if len(s.keywords) < maxKeywords {
		return false
	}
	var used uint64
	for _, chunk := range s.chunks {
		for i := range chunk {
			used |= chunk[i].Keywords
		}
		if used == 1<<maxKeywords-1 {
			return true
		}
	}
	return false
}

// Status is the counters of this state.
func (s *Snapshot) Status() Status { return s.status }

// Diff compares an older snapshot of the same mailbox with s: expunged are
// positions in old (ascending), changed positions in s of messages that old had
// with another modseq; messages from position firstNew of s on are new. Chunks
// the two share cost nothing.
func (s *Snapshot) Diff(old *Snapshot) (expunged []int, changed []int, firstNew int) {
	a, b := cursor{s: old}, cursor{s: s}
	for !a.end() && !b.end() {
		if n := sharedPrefix(a.rest(), b.rest()); n > 0 {
			a.skip(n)
			b.skip(n)
			continue
		}
		was, is := a.entry(), b.entry()
		switch {
		case was.UID < is.UID:
			expunged = append(expunged, a.pos)
			a.skip(1)
		case was.UID == is.UID:
			if was.ModSeq != is.ModSeq {
				changed = append(changed, b.pos)
			}
			a.skip(1)
			b.skip(1)
		default: // never in one mailbox: UIDs only grow
			b.skip(1)
		}
	}
	for ; !a.end(); a.skip(1) {
		expunged = append(expunged, a.pos)
	}
	return expunged, changed, b.pos
}

// sharedPrefix is how many entries of a and b lie in the same memory.
func sharedPrefix(a, b []Entry) int {
	if len(a) == 0 || len(b) == 0 || &a[0] != &b[0] {
		return 0
	}
	return min(len(a), len(b))
}

// cursor walks over a snapshot.
type cursor struct {
	s     *Snapshot
	chunk int
	off   int // in the chunk
	pos   int // in the snapshot
}

func (c *cursor) end() bool     { return c.chunk >= len(c.s.chunks) }
func (c *cursor) entry() *Entry { return &c.s.chunks[c.chunk][c.off] }
func (c *cursor) rest() []Entry { return c.s.chunks[c.chunk][c.off:] }

// skip goes n entries on, not beyond the end of the chunk.
func (c *cursor) skip(n int) {
	c.pos += n
	if c.off += n; c.off >= len(c.s.chunks[c.chunk]) {
		c.chunk, c.off = c.chunk+1, 0
	}
}

// uidsIn are the UIDs of set that s has, ascending.
func (s *Snapshot) uidsIn(set UIDSet) []uint32 {
	var out []uint32
	for _, r := range set.Sorted() {
		i, _ := s.Index(r.First)
		for _, e := range s.Range(i, s.n) {
			if e.UID > r.Last {
				break
			}
			out = append(out, e.UID)
		}
	}
	return out
}
