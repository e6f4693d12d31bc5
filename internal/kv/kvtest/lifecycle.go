package kvtest

import (
	"context"
	"errors"
	"testing"

	"posthouse/internal/kv"
)

func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, partA, "a", "b", "c")
	put(t, s, partB, "z")
	update(t, s, func(tx kv.Tx) error { return tx.Delete(key(partA, "b")) }, partA)
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		s = open(t, dir)
		view(t, s, func(r kv.Reader) error {
			want(t, r, partA, "a=a c=c ", "c=c a=a ")
			want(t, r, partB, "z=z ", "z=z ")
			return nil
		})
	}
	put(t, s, partA, "d")
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func testClosed(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	c, cancel := s.Watch(partA)
	put(t, s, partA, "a")
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	ctx := context.Background()
	never := func() error { t.Error("fn ran on a closed store"); return nil }
	for what, err := range map[string]error{
		"View":   s.View(ctx, func(kv.Reader) error { return never() }),
		"Update": s.Update(ctx, kv.Partitions{partA}, func(kv.Tx) error { return never() }),
		"Sync":   s.Sync(ctx),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", what, err)
		}
	}
	<-c
	cancel()
	_, cancel = s.Watch(partA)
	cancel()
}
