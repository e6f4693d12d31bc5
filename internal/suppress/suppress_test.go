package suppress

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/smtp"
)

func open(t *testing.T) kv.Store {
	t.Helper()
	db, err := pebble.Open(filepath.Join(t.TempDir(), "kv"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func add(t *testing.T, db kv.Store, address string, e Suppression) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(context.Background(), kv.Partitions{Partition}, func(tx kv.Tx) error { return AddTx(tx, a, e) })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestList(t *testing.T) {
	db, ctx := open(t), context.Background()
	now := time.Now().UTC().Truncate(time.Second)
	for i := range 5 {
		add(t, db, fmt.Sprintf("u%d@example.net", i), Suppression{At: now, Class: classify.BadMailbox, Code: 550})
	}
	u3 := add(t, db, "U3@EXAMPLE.net", Suppression{At: now.Add(time.Hour), Class: classify.InactiveMailbox, Code: 550, Text: "closed"})
	e, err := Get(ctx, db, u3)
	if err != nil || e.Class != classify.InactiveMailbox || e.Text != "closed" || !e.At.Equal(now.Add(time.Hour)) {
		t.Errorf("the later refusal is not what is remembered: %+v, %v", e, err)
	}
	var got []string
	for after := ""; ; {
		page, err := List(ctx, db, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got, after = append(got, e.Address), e.Address
		}
	}
	if want := "[u0@example.net u1@example.net u2@example.net U3@EXAMPLE.net u4@example.net]"; fmt.Sprint(got) != want {
		t.Errorf("list %v", got)
	}
	if err := Remove(ctx, db, u3); err != nil {
		t.Error(err)
	}
	if err := Remove(ctx, db, u3); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := Get(ctx, db, u3); !errors.Is(err, ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestExpire(t *testing.T) {
	db, ctx := open(t), context.Background()
	now := time.Now()
	old := add(t, db, "old@example.net", Suppression{At: now.Add(-Keep - time.Hour)})
	young := add(t, db, "young@example.net", Suppression{At: now.Add(-Keep + time.Hour)})
	if err := Expire(ctx, db, now.Add(-Keep)); err != nil {
		t.Fatal(err)
	}
	if _, err := Get(ctx, db, old); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := Get(ctx, db, young); err != nil {
		t.Errorf("the young one: %v", err)
	}
}
