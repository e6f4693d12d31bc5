package kv_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"posthouse/internal/kv"
)

// anyString draws strings with many of the bytes that the encoding treats
// specially.
var anyString = rapid.Custom(func(t *rapid.T) string {
	special := rapid.SampledFrom([]byte{0, 1, 2, 0xfe, 0xff, 'a'})
	return string(rapid.SliceOfN(rapid.OneOf(special, rapid.Byte()), 0, 8).Draw(t, "bytes"))
})

func TestStringKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyString.Draw(t, "a"), anyString.Draw(t, "b")
		// What follows a component must not disturb its order.
		ka := kv.NewKey(kv.Directory).String(a).Raw(rapid.SliceOf(rapid.Byte()).Draw(t, "rest a"))
		kb := kv.NewKey(kv.Directory).String(b).Raw(rapid.SliceOf(rapid.Byte()).Draw(t, "rest b"))
		if want := strings.Compare(a, b); want != 0 && bytes.Compare(ka, kb) != want {
			t.Errorf("%q and %q: keys %x and %x", a, b, ka, kb)
		}
	})
}

func TestStringIsPrefixFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyString.Draw(t, "a"), anyString.Draw(t, "b")
		ka, kb := kv.Key(nil).String(a), kv.Key(nil).String(b)
		if a != b && bytes.HasPrefix(kb, ka) {
			t.Errorf("%q: key %x begins with that of %q, %x", b, kb, a, ka)
		}
	})
}

func TestCutStringInvertsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyString.Draw(t, "a"), anyString.Draw(t, "b")
		rest := rapid.SliceOf(rapid.Byte()).Draw(t, "rest")
		gotA, r, ok := kv.CutString(kv.Key(nil).String(a).String(b).Raw(rest))
		gotB, r, ok2 := kv.CutString(r)
		if !ok || !ok2 || gotA != a || gotB != b || !bytes.Equal(r, rest) {
			t.Errorf("%q %q came back as %q %v, %q %v, rest %x", a, b, gotA, ok, gotB, ok2, r)
		}
	})
}

func TestCutStringRefuses(t *testing.T) {
	for _, b := range []string{"", "a", "\x00", "a\x00", "a\x00\xff", "a\x00\x02b\x00\x01", "\x00\x00\x01"} {
		if s, rest, ok := kv.CutString([]byte(b)); ok {
			t.Errorf("%q gave %q, %q", b, s, rest)
		}
	}
}

func FuzzCutString(f *testing.F) {
	f.Add([]byte("a\x00\x01b"))
	f.Add([]byte("a\x00\xff\x00\x01"))
	f.Add([]byte("a\x00\x02\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, ok := kv.CutString(b)
		if !ok {
			return
		}
		if back := kv.Key(nil).String(s).Raw(rest); !bytes.Equal(back, b) {
			t.Errorf("%x was read as %q and %x, which is %x", b, s, rest, back)
		}
	})
}

func TestEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := kv.Key(anyString.Draw(t, "prefix"))
		other := []byte(anyString.Draw(t, "other"))
		if rapid.Bool().Draw(t, "inside") {
			other = append(bytes.Clone(prefix), other...)
		}
		before := bytes.Clone(prefix)
		end := prefix.End()
		in := bytes.Compare(other, prefix) >= 0 && (end == nil || bytes.Compare(other, end) < 0)
		if in != bytes.HasPrefix(other, prefix) {
			t.Errorf("[%x, %x) and %x: inside is %v", prefix, end, other, in)
		}
		if !bytes.Equal(prefix, before) {
			t.Errorf("End changed %x to %x", before, prefix)
		}
	})
}

func TestNumbersKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		if got := bytes.Compare(kv.Key(nil).Uint64(a), kv.Key(nil).Uint64(b)) < 0; got != (a < b) {
			t.Errorf("%d and %d", a, b)
		}
	})
}

func TestPartitions(t *testing.T) {
	all := kv.Partitions{kv.Directory, kv.StorePartition, kv.AccountPartition(1), kv.AccountPartition(1 << 60),
		kv.QueueShard(0), kv.QueueShard(0xffff), kv.JournalShard(7), kv.BodyShard(7)}
	for i, a := range all {
		for j, b := range all {
			if i != j && strings.HasPrefix(string(b), string(a)) {
				t.Errorf("%q begins with %q", b, a)
			}
		}
	}
	given := kv.Partitions{"b", "a", "b", "a"}
	if s := given.Sorted(); len(s) != 2 || s[0] != "a" || s[1] != "b" || given[0] != "b" {
		t.Errorf("sorted: %q, the original is now %q", s, given)
	}
}
