// Package id makes the identifiers that the house gives out: one per session,
// message and delivery. They sort by time of creation and are safe in file
// names, headers and URLs.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// ID is 16 characters of lower-case base32 (extended hex, so that text order is
// byte order): 48 bits of Unix milliseconds and 32 random bits.
type ID string

// Account is the number of an account; it is never given twice. 0 is no account.
type Account uint64

var encoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// New makes an identifier for something that happened at t.
func New(t time.Time) ID {
	var b [10]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
	copy(b[:6], ms[2:])
	rand.Read(b[6:]) // never fails (crypto/rand)
	return ID(encoding.EncodeToString(b[:]))
}

// Time is when the identifier was made, to the millisecond; the zero time for
// a string that is not an identifier.
func (i ID) Time() time.Time {
	b, err := encoding.DecodeString(string(i))
	if err != nil || len(b) != 10 {
		return time.Time{}
	}
	var ms [8]byte
	copy(ms[2:], b[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// Valid reports whether i has the form that New gives.
func (i ID) Valid() bool { return len(i) == 16 && !i.Time().IsZero() }

// Size is the length of an identifier in bytes, without its text form.
const Size = 10

// Packed is an identifier without its text form, for tables of many; it orders
// as the text does.
type Packed [Size]byte

// Pack is i without its text form; false for a string that is not an identifier.
func (i ID) Pack() (p Packed, ok bool) {
	if len(i) != 16 {
		return p, false
	}
	n, err := encoding.Decode(p[:], []byte(i))
	return p, err == nil && n == Size
}

// ID is the text form.
func (p Packed) ID() ID { return ID(encoding.EncodeToString(p[:])) }
