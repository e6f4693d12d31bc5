package segment

import (
	"bytes"
	"testing"

	"posthouse/internal/blob"
)

func FuzzHeader(f *testing.F) {
	b := make([]byte, headerSize)
	h := header{at: place{3, 64}, nonce: 7, bodyLen: 10, metaLen: 3, created: 1}
	h.encode(b)
	f.Add(b, uint32(3), uint32(64), uint64(7))
	h.origin = place{1, 64}
	moved := make([]byte, headerSize)
	h.encode(moved)
	f.Add(moved, uint32(3), uint32(64), uint64(7))
	f.Add(b[:40], uint32(3), uint32(64), uint64(7))
	f.Fuzz(func(t *testing.T, b []byte, segment, offset uint32, nonce uint64) {
		h, err := parseHeader(b, place{segment, offset}, nonce)
		if err != nil {
			return
		}
		again := make([]byte, headerSize)
		h.encode(again)
		back, err := parseHeader(again, place{segment, offset}, nonce)
		if err != nil || back != h || h.size() < headerSize {
			t.Errorf("%+v became %+v, %v", h, back, err)
		}
	})
}

func FuzzForward(f *testing.F) {
	f.Add(fwdTable{{64, place{2, 64}}, {300, place{9, 10_000}}}.encode(1), uint32(1))
	f.Add(fwdTable{}.encode(1), uint32(1))
	f.Add([]byte("nothing of the kind"), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, segment uint32) {
		table, err := parseForward(b, segment)
		if err != nil {
			return
		}
		if !bytes.Equal(table.encode(segment), b) {
			t.Error("encodes to something else")
		}
		for _, e := range table {
			if to, ok := table.lookup(e.offset); !ok || to != e.to {
				t.Errorf("lookup(%d) = %v, %v", e.offset, to, ok)
			}
		}
	})
}

func FuzzDead(f *testing.F) {
	e := deadEntry{64, 1000}.encode(nil, 5)
	f.Add(append(deadEntry{300, 0}.encode(e, 5), 1, 2, 3), uint32(5))
	f.Fuzz(func(t *testing.T, b []byte, segment uint32) {
		n := 0
		parseDead(b, segment, func(e deadEntry) {
			n++
			if !bytes.Contains(b, e.encode(nil, segment)) {
				t.Errorf("%+v was never written", e)
			}
		})
		if n > len(b)/deadEntrySize {
			t.Errorf("%d entries in %d bytes", n, len(b))
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add((&state{reserved: 65, active: 3, clean: 1000}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, ok := parseState(b); ok && !bytes.Equal(st.encode(), b[:stateSize]) {
			t.Errorf("%+v encodes to something else", st)
		}
	})
}

// FuzzScan walks over arbitrary bytes: it ends, covers everything once, and
// finds the record behind them.
func FuzzScan(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte("PREC"), 40))
	b := make([]byte, headerSize)
	(&header{at: place{1, 0}, nonce: 9, bodyLen: 5}).encode(b)
	f.Add(append(b, "hello and more"...))
	f.Fuzz(func(t *testing.T, junk []byte) {
		if len(junk) > 1<<20 {
			return
		}
		all := append(bytes.Clone(junk), make([]byte, headerSize)...)
		last := header{at: place{1, uint32(len(junk))}, nonce: 9}
		last.encode(all[len(junk):])
		at, found1 := int64(0), false
		err := scan(bytes.NewReader(all), 1, 9, 0, int64(len(all)), func(it found) error {
			if it.from != at || it.to <= it.from {
				t.Fatalf("at %d: %+v", at, it)
			}
			at = it.to
			found1 = found1 || !it.gap && it.h == last
			return nil
		})
		if err == nil && (at != int64(len(all)) || !found1 && !covered(junk)) {
			t.Errorf("ended at %d of %d, found the last: %v", at, len(all), found1)
		}
	})
}

// covered reports whether junk holds what may be a good record that swallows
// the one behind it.
func covered(junk []byte) bool { return bytes.Contains(junk, []byte("PREC")) }

func TestRefOfMovedRecord(t *testing.T) {
	h := header{at: place{9, 100}, origin: place{2, 64}, bodyLen: 5}
	if h.ref() != (blob.Ref{Segment: 2, Offset: 64, Length: 5}) {
		t.Errorf("%v", h.ref())
	}
}
