package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// found is what lies in a stretch of a segment: a record whose header is good,
// or, when gap is set, bytes that are none.
type found struct {
	h        header
	gap      bool
	from, to int64
}

// scan walks over the records between from and to, the end of the file or its
// trailer. Behind damage it looks for the next header that was written where it
// stands. A record that ends beyond to counts as a gap.
func scan(f io.ReaderAt, num uint32, nonce uint64, from, to int64, fn func(found) error) error {
	for off := from; off < to; {
		var b [headerSize]byte
		n, err := f.ReadAt(b[:min(int64(headerSize), to-off)], off)
		if err != nil && err != io.EOF {
			return err
		}
		h, err := parseHeader(b[:n], place{num, uint32(off)}, nonce)
		if errors.Is(err, errVersion) {
			return err
		}
		var it found
		if err == nil && off+h.size() <= to {
			it = found{h: h, from: off, to: off + h.size()}
		} else {
			next, err := resync(f, num, nonce, off+1, to)
			if err != nil {
				return err
			}
			it = found{h: h, gap: true, from: off, to: next}
		}
		if err := fn(it); err != nil {
			return err
		}
		off = it.to
	}
	return nil
}

// resync finds the first good record that begins at or after off; to when there
// is none.
func resync(f io.ReaderAt, num uint32, nonce uint64, off, to int64) (int64, error) {
	magic := binary.LittleEndian.AppendUint32(nil, recordMagic)
	buf := make([]byte, 256<<10)
	for off+headerSize <= to {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-off)], off)
		if err != nil && err != io.EOF {
			return 0, err
		}
		b := buf[:n]
		if n < headerSize {
			return to, nil
		}
		for i := 0; ; i++ {
			k := bytes.Index(b[i:], magic)
			if k < 0 || i+k+headerSize > n {
				break
			}
			i += k
			h, err := parseHeader(b[i:], place{num, uint32(off + int64(i))}, nonce)
			if err == nil && off+int64(i)+h.size() <= to {
				return off + int64(i), nil
			}
		}
		off += int64(n - headerSize + 1) // a header may straddle two reads
	}
	return to, nil
}

// allZero reports whether there is nothing but zeros between from and to.
func allZero(f io.ReaderAt, from, to int64) (bool, error) {
	buf := make([]byte, 64<<10)
	for from < to {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if n == 0 {
			return false, err
		}
		for _, c := range buf[:n] {
			if c != 0 {
				return false, nil
			}
		}
		from += int64(n)
	}
	return true, nil
}
