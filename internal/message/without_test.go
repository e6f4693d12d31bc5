package message

import (
	"bytes"
	"slices"
	"testing"
)

func TestWithout(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"A: 1\r\nB: 2\r\n":                      "A: 1\r\n",
		"B: 2\r\n\tmore\r\nA: 1\r\n\r\nB: body": "A: 1\r\n\r\nB: body",
		"From x\r\nb : 2\r\njunk\r\nA: 1":       "From x\r\nA: 1",
		"A: 1\nB: 2\nBB: 3\n":                   "A: 1\nBB: 3\n",
		"B: 2":                                  "",
	} {
		if got := string(Header(in).Without(func(f Field) bool { return f.Is("B") })); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What is taken out is gone, the rest is as it was.
func FuzzWithout(f *testing.F) {
	f.Add([]byte("A: 1\r\nB: 2\r\n\tmore\r\nb: 3\r\n\r\nB: body"))
	f.Add([]byte(" x\nB:\nA"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		drop := func(f Field) bool { return f.Is("B") }
		var want [][]byte
		for f := range Header(raw).Fields() {
			if !drop(f) {
				want = append(want, raw[f.Start:f.End])
			}
		}
		out := Header(raw).Without(drop)
		var got [][]byte
		for f := range out.Fields() {
			got = append(got, out[f.Start:f.End])
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%q became %q", raw, out)
		}
		if whole := Header(raw).Without(func(Field) bool { return false }); !bytes.Equal(whole, raw) {
			t.Errorf("%q became %q", raw, whole)
		}
	})
}
