package rowcodec

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"
	"time"
)

// Every kind of part has these bytes on disk, and reads as it was written.
func TestParts(t *testing.T) {
	at := time.Unix(1700000000, 5)
	const stored = "ac02" + "ffffffffffffffffff01" + "03" + "00" + "00" + "0561206220ff" + "8a8095ee8c91d0972f" + "00" + "2a"
	b := AppendUvarint(nil, 300)
	b = AppendUvarint(b, math.MaxUint64)
	b = AppendVarint(b, -2)
	b = AppendVarint(b, 0)
	b = AppendString(b, "")
	b = AppendString(b, "a b \xff")
	b = AppendTime(b, at.Add(time.Hour))
	b = AppendTime(b, time.Time{})
	b = append(b, 42)
	if got := hex.EncodeToString(b); got != stored {
		t.Fatalf("written as %s, want %s", got, stored)
	}
	r := NewReader(b)
	if n, m := r.Uvarint(), r.Uvarint(); n != 300 || m != math.MaxUint64 {
		t.Errorf("numbers read as %d and %d", n, m)
	}
	if n, m := r.Varint(), r.Varint(); n != -2 || m != 0 {
		t.Errorf("signed numbers read as %d and %d", n, m)
	}
	if s, u := r.String(), r.String(); s != "" || u != "a b \xff" {
		t.Errorf("texts read as %q and %q", s, u)
	}
	if v, zero := r.Time(), r.Time(); !v.Equal(at.Add(time.Hour)) || !zero.IsZero() {
		t.Errorf("times read as %v and %v", v, zero)
	}
	if c := r.Byte(); c != 42 || r.Len() != 0 || r.Bad() {
		t.Errorf("last byte %d, %d left, bad %v", c, r.Len(), r.Bad())
	}
}

// A fault stays: whatever is read after it is zero.
func TestFaultStays(t *testing.T) {
	cut := AppendString(nil, "ann")
	cut = cut[:len(cut)-1]
	for name, fault := range map[string]func(*Reader){
		"text cut short":   func(r *Reader) { _ = r.String() },
		"too many bytes":   func(r *Reader) { r.Take(r.Len() + 1) },
		"a negative count": func(r *Reader) { r.Take(-1) },
		"called bad":       (*Reader).Fail,
	} {
		r := NewReader(cut)
		fault(&r)
		if !r.Bad() || r.Len() != 0 {
			t.Errorf("%s: bad %v, %d left", name, r.Bad(), r.Len())
		}
		if r.Byte() != 0 || r.Uvarint() != 0 || r.Varint() != 0 || r.String() != "" || !r.Time().IsZero() || len(r.Rest()) != 0 || !r.Bad() {
			t.Errorf("%s: something was read after it", name)
		}
	}
}

// FuzzReader reads any bytes by any plan, one byte of it a part. What is read is
// never longer than what was there, and texts read as they would be written.
func FuzzReader(f *testing.F) {
	f.Add([]byte("suvtbr"), AppendTime(AppendString(nil, "ann"), time.Unix(1700000000, 0)))
	f.Add([]byte("s"), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'x'})
	f.Add([]byte("uu"), bytes.Repeat([]byte{0x80}, 11))
	f.Add([]byte("k\x05b"), []byte("abc"))
	f.Fuzz(func(t *testing.T, plan, row []byte) {
		r := NewReader(row)
		for _, step := range plan {
			before, bad := r.Len(), r.Bad()
			switch step {
			case 's':
				if s := r.String(); len(s) > before {
					t.Fatalf("a text of %d from %d bytes", len(s), before)
				}
			case 'u':
				r.Uvarint()
			case 'v':
				r.Varint()
			case 't':
				at := r.Time()
				if again := NewReader(AppendTime(nil, at)); !again.Time().Equal(at) {
					t.Fatalf("%v is not kept", at)
				}
			case 'b':
				r.Byte()
			case 'r':
				if len(r.Rest()) != before {
					t.Fatalf("%d of %d left", len(r.Rest()), before)
				}
			default:
				if b := r.Take(int(step)); b != nil && len(b) != int(step) {
					t.Fatalf("took %d, not %d", len(b), step)
				}
			}
			if r.Len() > before || bad && !r.Bad() || r.Bad() && r.Len() != 0 {
				t.Fatalf("after %q: %d of %d left, bad %v, before %v", step, r.Len(), before, r.Bad(), bad)
			}
		}
	})
}
