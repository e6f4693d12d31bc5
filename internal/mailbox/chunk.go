package mailbox

import (
	"cmp"
	"slices"
	"sort"
)

// builder makes the next snapshot out of one. It copies the chunks that it
// changes; only new entries at the end go into the memory of the last chunk,
// behind what any earlier snapshot shows. A mailbox therefore has one builder at
// a time, and each begins with the latest published snapshot.
type builder struct {
	chunks [][]Entry
	own    map[int]bool // chunks copied already
	expect int          // how many entries are still to come, for a first load
}

func newBuilder(s *Snapshot) *builder {
	return &builder{chunks: slices.Clone(s.chunks), own: make(map[int]bool)}
}

// add appends an entry with a UID above all others.
func (b *builder) add(e Entry) {
	last := len(b.chunks) - 1
	if last < 0 || len(b.chunks[last]) >= chunkSize {
		b.chunks = append(b.chunks, make([]Entry, 0, min(max(b.expect, 1), chunkSize)))
		last++
	}
	b.chunks[last] = append(b.chunks[last], e)
	b.expect--
}

// find is the chunk where uid is or would be, and its place there.
func (b *builder) find(uid uint32) (c, k int, ok bool) {
	c = sort.Search(len(b.chunks), func(c int) bool {
		n := len(b.chunks[c])
		return n > 0 && b.chunks[c][n-1].UID >= uid
	})
	if c == len(b.chunks) {
		return c, 0, false
	}
	k, ok = slices.BinarySearchFunc(b.chunks[c], uid, func(e Entry, uid uint32) int {
		return cmp.Compare(e.UID, uid)
	})
	return c, k, ok
}

func (b *builder) writable(c int) []Entry {
	if !b.own[c] {
		b.chunks[c] = slices.Clone(b.chunks[c])
		b.own[c] = true
	}
	return b.chunks[c]
}

// put replaces the entry with the same UID, or appends a new one.
func (b *builder) put(e Entry) {
	c, k, ok := b.find(e.UID)
	switch {
	case ok:
		b.writable(c)[k] = e
	case c == len(b.chunks):
		b.add(e)
	}
}

// remove takes the UIDs of the ascending list out.
func (b *builder) remove(uids []uint32) {
	for len(uids) > 0 {
		c, _, _ := b.find(uids[0])
		if c == len(b.chunks) {
			return
		}
		chunk := b.chunks[c]
		last := chunk[len(chunk)-1].UID
		n := sort.Search(len(uids), func(i int) bool { return uids[i] > last })
		b.removeFrom(c, uids[:n])
		uids = uids[n:]
	}
}

// removeFrom takes uids out of one chunk, which may leave it empty.
func (b *builder) removeFrom(c int, uids []uint32) {
	chunk := b.chunks[c]
	kept := make([]Entry, 0, len(chunk))
	for i := range chunk {
		for len(uids) > 0 && uids[0] < chunk[i].UID {
			uids = uids[1:]
		}
		if len(uids) == 0 || uids[0] != chunk[i].UID {
			kept = append(kept, chunk[i])
		}
	}
	if len(kept) == len(chunk) {
		return
	}
	b.own[c] = true
	if len(kept) == 0 {
		// keep find's order of chunks: an empty one would break it
		b.chunks = slices.Delete(b.chunks, c, c+1)
		own := make(map[int]bool, len(b.own))
		for i := range b.own {
			switch {
			case i < c:
				own[i] = true
			case i > c:
				own[i-1] = true
			}
		}
		b.own = own
		return
	}
	b.chunks[c] = kept
}

// finish makes the snapshot; small neighbours are joined.
func (b *builder) finish(keywords []string, st Status) *Snapshot {
	s := &Snapshot{keywords: keywords, status: st}
	for c, chunk := range b.chunks {
		last := len(s.chunks) - 1
		if last >= 0 && b.own[c] && len(s.chunks[last])+len(chunk) <= chunkSize/2 {
			joined := make([]Entry, 0, len(s.chunks[last])+len(chunk))
			s.chunks[last] = append(append(joined, s.chunks[last]...), chunk...)
			s.n += len(chunk)
			continue
		}
		s.chunks = append(s.chunks, chunk)
		s.starts = append(s.starts, s.n)
		s.n += len(chunk)
	}
	return s
}
