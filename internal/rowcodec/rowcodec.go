// Package rowcodec is the form of the parts of a stored row: numbers as varints
// (those of encoding/binary), texts as a length and bytes, times as nanoseconds. What a row consists of, and
// its versions, is the business of the package that keeps it. Stored bytes
// never change: a new form is a new function here, or a new version there.
package rowcodec

import (
	"encoding/binary"
	"time"
)

// AppendUvarint appends a number that is never negative.
func AppendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendVarint appends a number that may be negative.
func AppendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// AppendString appends a text of any bytes.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendTime appends a time between the years 1678 and 2262, to the nanosecond
// and without its zone. The zero time stays zero.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

// Reader takes a row apart, from the front. It may be given any bytes: after
// the first fault there is nothing left, everything reads as zero, and Bad says
// so, so that only the end of a row need ask. What it returns is never longer than
// what it was given.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads b, which must not change meanwhile.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Bad tells whether the row had a fault: it was cut short, or Fail was called.
func (r *Reader) Bad() bool { return r.bad }

// Fail makes the row bad, for what only the caller can see to be wrong.
func (r *Reader) Fail() { r.b, r.bad = nil, true }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Rest is all that is left, not copied; it is not consumed.
func (r *Reader) Rest() []byte { return r.b }

// Take reads the next n bytes, not copied; nil when there are fewer.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.Fail()
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.Fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// Uvarint reads what AppendUvarint wrote.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads what AppendVarint wrote.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// String reads what AppendString wrote.
func (r *Reader) String() string { return string(r.Bytes()) }

// Bytes reads what AppendString wrote, not copied.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	if n > uint64(len(r.b)) {
		r.Fail()
		return nil
	}
	return r.Take(int(n))
}

// Time reads what AppendTime wrote, in local time.
func (r *Reader) Time() time.Time {
	if n := r.Varint(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}
