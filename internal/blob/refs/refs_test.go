package refs

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// fakeKV is a kv.Store in a map; each Update works on a copy.
type fakeKV struct{ rows map[string][]byte }

func newFakeKV() *fakeKV { return &fakeKV{rows: make(map[string][]byte)} }

func (f *fakeKV) View(_ context.Context, fn func(kv.Reader) error) error {
	return fn(&fakeTx{rows: f.rows})
}

func (f *fakeKV) Update(_ context.Context, parts kv.Partitions, fn func(kv.Tx) error) error {
	tx := &fakeTx{rows: maps.Clone(f.rows), parts: parts}
	if err := fn(tx); err != nil {
		return err
	}
	f.rows = tx.rows
	return nil
}

func (f *fakeKV) Sync(context.Context) error { return nil }

func (f *fakeKV) Watch(kv.Partition) (<-chan struct{}, func()) { return nil, func() {} }

func (f *fakeKV) Close() error { return nil }

type fakeTx struct {
	rows  map[string][]byte
	parts kv.Partitions
}

func (t *fakeTx) Get(key []byte) ([]byte, error) {
	if v, ok := t.rows[string(key)]; ok {
		return v, nil
	}
	return nil, kv.ErrNotFound
}

func (t *fakeTx) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(t.rows)) {
		if k >= string(from) && k < string(to) && !fn([]byte(k), t.rows[k]) {
			break
		}
	}
	return nil
}

func (t *fakeTx) ScanBack(_, _ []byte, _ func(k, v []byte) bool) error {
	return errors.New("not used here")
}

func (t *fakeTx) allowed(key []byte) error {
	for _, p := range t.parts {
		if bytes.HasPrefix(key, []byte(p)) {
			return nil
		}
	}
	return errors.New("write outside the partitions")
}

func (t *fakeTx) Set(key, value []byte) error {
	t.rows[string(key)] = bytes.Clone(value)
	return t.allowed(key)
}

func (t *fakeTx) Delete(key []byte) error {
	delete(t.rows, string(key))
	return t.allowed(key)
}

func (t *fakeTx) DeleteRange(_, _ []byte) error { return errors.New("not used here") }

func ref(n int) blob.Ref {
	return blob.Ref{Segment: uint32(1 + n/100), Offset: uint32(64 + n*7), Length: uint64(n)}
}

// TestCountsMatchAModel adds and drops at random and compares with a map.
func TestCountsMatchAModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		store, c := newFakeKV(), New(nil)
		model := make(map[blob.Ref]int)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r, n := ref(rapid.IntRange(0, 20).Draw(t, "ref")), rapid.IntRange(1, 5).Draw(t, "n")
				err := store.Update(ctx, kv.Partitions{Partition(r)}, func(tx kv.Tx) error { return c.AddTx(tx, r, n) })
				if err != nil {
					t.Fatal(err)
				}
				model[r] += n
			},
			"drop": func(t *rapid.T) {
				r, n := ref(rapid.IntRange(0, 20).Draw(t, "ref")), rapid.IntRange(1, 5).Draw(t, "n")
				var last bool
				err := store.Update(ctx, kv.Partitions{Partition(r)}, func(tx kv.Tx) (err error) {
					last, err = c.DropTx(tx, r, n)
					return err
				})
				if model[r] < n {
					if !errors.Is(err, ErrUnderflow) {
						t.Fatalf("dropped %d of %d: %v", n, model[r], err)
					}
					return
				}
				if model[r] -= n; err != nil || last != (model[r] == 0) {
					t.Fatalf("last = %v with %d left, err %v", last, model[r], err)
				}
			},
			"": func(t *rapid.T) {
				scanned := make(map[blob.Ref]int)
				for i := range 21 {
					r := ref(i)
					_ = store.View(ctx, func(rd kv.Reader) error {
						if n, err := c.Count(rd, r); n != model[r] || err != nil {
							t.Fatalf("count %d, want %d, err %v", n, model[r], err)
						}
						return nil
					})
					if live, err := Live(ctx, store, r); live != (model[r] > 0) || err != nil {
						t.Fatalf("live = %v with %d references, err %v", live, model[r], err)
					}
				}
				_ = store.View(ctx, func(rd kv.Reader) error {
					return Scan(rd, func(r blob.Ref, n int) bool { scanned[r] = n; return true })
				})
				maps.DeleteFunc(model, func(_ blob.Ref, n int) bool { return n == 0 })
				if !maps.Equal(scanned, model) {
					t.Fatalf("scan found %v, want %v", scanned, model)
				}
			},
		})
	})
}

func TestScanStops(t *testing.T) {
	store, c := newFakeKV(), New(nil)
	for i := range 10 {
		r := ref(i)
		if err := store.Update(context.Background(), Partitions(), func(tx kv.Tx) error { return c.AddTx(tx, r, 1) }); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	_ = store.View(context.Background(), func(r kv.Reader) error {
		return Scan(r, func(blob.Ref, int) bool { n++; return n < 3 })
	})
	if n != 3 {
		t.Errorf("called %d times after false", n)
	}
}

func TestDamagedRowsAreReported(t *testing.T) {
	ctx := context.Background()
	r := ref(7)
	c := New(nil)
	for name, value := range map[string][]byte{"empty": {}, "short": {1, 2}, "long": bytes.Repeat([]byte{1}, 30), "other length": row(ref(8), 1)} {
		store := newFakeKV()
		store.rows[string(key(r))] = value
		if _, err := Live(ctx, store, r); err == nil {
			t.Errorf("%s: no error", name)
		}
		err := store.View(ctx, func(rd kv.Reader) error {
			_, err := c.Count(rd, r)
			return err
		})
		if err == nil {
			t.Errorf("%s: counted", name)
		}
		if name != "other length" {
			if err := store.View(ctx, func(rd kv.Reader) error { return Scan(rd, func(blob.Ref, int) bool { return true }) }); err == nil {
				t.Errorf("%s: scanned without an error", name)
			}
		}
	}
}

// TestNeighboursSpread shows that one burst of deliveries does not queue up on
// one partition.
func TestNeighboursSpread(t *testing.T) {
	seen := make(map[kv.Partition]int)
	for i := range 640 {
		seen[Partition(blob.Ref{Segment: 1, Offset: uint32(64 + i*10_300), Length: 1})]++
	}
	if len(seen) < Shards*9/10 {
		t.Errorf("640 records went to %d partitions", len(seen))
	}
	for p, n := range seen {
		if n > 40 {
			t.Errorf("%d records in partition %x", n, p)
		}
	}
}

func FuzzParseRow(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 64}, row(ref(3), 2))
	f.Add([]byte{}, []byte{0x80, 0x80})
	f.Fuzz(func(t *testing.T, k, v []byte) {
		r, n, err := parse(k, v)
		if err == nil && len(row(r, n)) > len(v) {
			t.Errorf("%v %d does not fit into the row it was read from", r, n)
		}
	})
}
