package segment

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"posthouse/internal/blob"
)

// A forwarding file says where records went whose first segment is gone. It is
// named after that segment and always points to where they lie now: when they
// move again it is written anew, so that there are no chains.
//
//	magic 8 | segment 4 | entries 4 | { old offset 4, segment 4, offset 4 }… | CRC 4
const (
	fwdMagic     = 0x0144574653534850 // "PHSSFWD\x01"
	fwdHeadSize  = 16
	fwdEntrySize = 12
	maxFwdFile   = 1 << 30
)

// maxTables is how many forwarding files are kept in memory (150 KB each when
// they are full of 10 KB messages).
const maxTables = 256

type fwdEntry struct {
	offset uint32
	to     place
}

// fwdTable is sorted by offset and never changed once it is shared.
type fwdTable []fwdEntry

func (t fwdTable) lookup(offset uint32) (place, bool) {
	i, ok := slices.BinarySearchFunc(t, offset, func(e fwdEntry, o uint32) int { return cmp.Compare(e.offset, o) })
	if !ok {
		return place{}, false
	}
	return t[i].to, true
}

func (t fwdTable) encode(segment uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, fwdHeadSize+len(t)*fwdEntrySize+4)
	b = le.AppendUint64(b, fwdMagic)
	b = le.AppendUint32(b, segment)
	b = le.AppendUint32(b, uint32(len(t)))
	for _, e := range t {
		b = le.AppendUint32(b, e.offset)
		b = le.AppendUint32(b, e.to.segment)
		b = le.AppendUint32(b, e.to.offset)
	}
	return le.AppendUint32(b, checksum(b))
}

// parseForward reads what encode wrote; anything else is blob.ErrCorrupt.
func parseForward(b []byte, segment uint32) (fwdTable, error) {
	le := binary.LittleEndian
	bad := fmt.Errorf("%w: forwarding file of segment %08x", blob.ErrCorrupt, segment)
	if len(b) < fwdHeadSize+4 || le.Uint64(b) != fwdMagic || le.Uint32(b[8:]) != segment {
		return nil, bad
	}
	sum := len(b) - 4
	n := int64(le.Uint32(b[12:]))
	if int64(len(b)) != fwdHeadSize+n*fwdEntrySize+4 || le.Uint32(b[sum:]) != checksum(b[:sum]) {
		return nil, bad
	}
	t := make(fwdTable, n)
	for i := range t {
		e := b[fwdHeadSize+i*fwdEntrySize:]
		t[i] = fwdEntry{le.Uint32(e), place{le.Uint32(e[4:]), le.Uint32(e[8:])}}
		if i > 0 && t[i].offset <= t[i-1].offset {
			return nil, bad
		}
	}
	return t, nil
}

// forwards keeps the forwarding files, loaded when they are first needed.
type forwards struct {
	s *Store

	mu     sync.Mutex
	have   map[uint32]struct{} // segments with a forwarding file
	tables map[uint32]fwdTable // those in memory
	gen    uint64              // grows when tables change
}

func newForwards(s *Store) *forwards {
	return &forwards{s: s, have: make(map[uint32]struct{}), tables: make(map[uint32]fwdTable)}
}

// resolve says where the record that was first stored at p lies now: p itself
// when it never moved.
func (f *forwards) resolve(p place) (place, error) {
	t, err := f.table(p.segment)
	if err != nil {
		return place{}, err
	}
	if to, ok := t.lookup(p.offset); ok {
		return to, nil
	}
	return p, nil
}

// table returns the forwarding table of a segment, empty when it has none.
func (f *forwards) table(segment uint32) (fwdTable, error) {
	for {
		f.mu.Lock()
		t, cached := f.tables[segment]
		_, exists := f.have[segment]
		gen := f.gen
		f.mu.Unlock()
		if cached || !exists {
			return t, nil
		}
		b, err := readFile(f.s.fs, f.s.path(fileName(segment, fwdSuffix)), maxFwdFile)
		if err == nil {
			t, err = parseForward(b, segment)
		}
		f.mu.Lock()
		if f.gen != gen { // changed while it was read
			f.mu.Unlock()
			continue
		}
		if err != nil {
			f.mu.Unlock()
			return nil, err
		}
		f.put(segment, t)
		f.mu.Unlock()
		return t, nil
	}
}

func (f *forwards) put(segment uint32, t fwdTable) {
	for other := range f.tables {
		if len(f.tables) < maxTables {
			break
		}
		delete(f.tables, other)
	}
	f.tables[segment] = t
}

// install shows tables that are durable to readers; an empty one goes away.
func (f *forwards) install(tables map[uint32]fwdTable) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gen++
	for segment, t := range tables {
		if len(t) == 0 {
			delete(f.have, segment)
			delete(f.tables, segment)
			continue
		}
		f.have[segment] = struct{}{}
		f.put(segment, t)
	}
}

// prepare writes the files under temporary names.
func (f *forwards) prepare(tables map[uint32]fwdTable) error {
	s := f.s
	for segment, t := range tables {
		if len(t) == 0 {
			continue
		}
		if err := writeTemp(s.fs, s.path(fileName(segment, fwdSuffix)), t.encode(segment)); err != nil {
			f.discard(tables)
			return storageError(err)
		}
	}
	return nil
}

// publish gives the files their names, durably. A crash in between is no harm:
// old and new tables alike point to records that exist until the caller removes
// the old ones.
func (f *forwards) publish(tables map[uint32]fwdTable) error {
	s := f.s
	for segment, t := range tables {
		if len(t) == 0 {
			continue
		}
		name := s.path(fileName(segment, fwdSuffix))
		if err := s.fs.Rename(name+tmpSuffix, name); err != nil {
			return storageError(err)
		}
	}
	return s.syncDir()
}

func (f *forwards) discard(tables map[uint32]fwdTable) {
	for segment := range tables {
		_ = f.s.fs.Remove(f.s.path(fileName(segment, fwdSuffix) + tmpSuffix))
	}
}

// edit collects changes to forwarding tables.
type edit struct {
	f      *forwards
	tables map[uint32]map[uint32]place
}

func (f *forwards) edit() *edit { return &edit{f: f, tables: make(map[uint32]map[uint32]place)} }

func (e *edit) table(segment uint32) (map[uint32]place, error) {
	if m, ok := e.tables[segment]; ok {
		return m, nil
	}
	t, err := e.f.table(segment)
	if err != nil {
		return nil, err
	}
	m := make(map[uint32]place, len(t))
	for _, x := range t {
		m[x.offset] = x.to
	}
	e.tables[segment] = m
	return m, nil
}

// set points the record first stored at from to where it lies now.
func (e *edit) set(from, to place) error {
	m, err := e.table(from.segment)
	if err == nil {
		m[from.offset] = to
	}
	return err
}

// drop forgets the record first stored at from.
func (e *edit) drop(from place) error {
	m, err := e.table(from.segment)
	if err == nil {
		delete(m, from.offset)
	}
	return err
}

// result is the changed tables, sorted.
func (e *edit) result() map[uint32]fwdTable {
	out := make(map[uint32]fwdTable, len(e.tables))
	for segment, m := range e.tables {
		out[segment] = tableOf(m)
	}
	return out
}

func tableOf(m map[uint32]place) fwdTable {
	t := make(fwdTable, 0, len(m))
	for o, p := range m {
		t = append(t, fwdEntry{o, p})
	}
	slices.SortFunc(t, func(a, b fwdEntry) int { return cmp.Compare(a.offset, b.offset) })
	return t
}

// remove deletes the files of tables that became empty.
func (f *forwards) remove(tables map[uint32]fwdTable) error {
	var errs []error
	for segment, t := range tables {
		if len(t) == 0 {
			errs = append(errs, ignoreMissing(f.s.fs.Remove(f.s.path(fileName(segment, fwdSuffix)))))
		}
	}
	return errors.Join(errs...)
}
