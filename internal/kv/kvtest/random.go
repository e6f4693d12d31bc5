package kvtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"posthouse/internal/kv"
)

// testRandom runs random transactions against the store and a map.
func testRandom(t *testing.T, s kv.Store) {
	k := kv.NewKey(partA)
	name := rapid.StringOfN(rapid.RuneFrom([]rune("abc\x00\x01")), 0, 3, -1)
	rapid.Check(t, func(rt *rapid.T) {
		update(t, s, func(tx kv.Tx) error { return tx.DeleteRange(k, k.End()) }, partA)
		model := map[string]string{}
		for range rapid.IntRange(1, 4).Draw(rt, "updates") {
			next := maps.Clone(model)
			fail := rapid.Bool().Draw(rt, "fail")
			err := s.Update(context.Background(), kv.Partitions{partA}, func(tx kv.Tx) error {
				next = maps.Clone(model)
				for range rapid.IntRange(0, 6).Draw(rt, "operations") {
					if err := randomOperation(rt, tx, next, name); err != nil {
						return err
					}
				}
				if fail {
					return errBoom
				}
				return nil
			})
			switch {
			case fail && errors.Is(err, errBoom):
			case err != nil:
				rt.Fatalf("Update: %v", err)
			default:
				model = next
			}
			view(t, s, func(r kv.Reader) error { return same(rt, r, model) })
		}
	})
}

func randomOperation(rt *rapid.T, tx kv.Tx, model map[string]string, name *rapid.Generator[string]) error {
	a, b := name.Draw(rt, "a"), name.Draw(rt, "b")
	switch rapid.IntRange(0, 3).Draw(rt, "operation") {
	case 0:
		model[a] = b
		return tx.Set(key(partA, a), []byte(b))
	case 1:
		delete(model, a)
		return tx.Delete(key(partA, a))
	case 2:
		maps.DeleteFunc(model, func(n, _ string) bool { return n >= a && n < b })
		return tx.DeleteRange(key(partA, a), key(partA, b))
	default:
		return same(rt, tx, model)
	}
}

// same compares what r shows with the model, forwards, backwards and by Get.
func same(rt *rapid.T, r kv.Reader, model map[string]string) error {
	k := kv.NewKey(partA)
	var forward, backward []string
	collect := func(into *[]string) func(k, v []byte) bool {
		return func(k, v []byte) bool {
			n, _, _ := kv.CutString(k[len(partA)+1:])
			if model[n] != string(v) {
				rt.Errorf("%q is %q, want %q", n, v, model[n])
			}
			*into = append(*into, n)
			return true
		}
	}
	if err := errors.Join(r.Scan(k, k.End(), collect(&forward)), r.ScanBack(k, k.End(), collect(&backward))); err != nil {
		return err
	}
	sorted := slices.Sorted(maps.Keys(model))
	slices.Reverse(backward)
	if !slices.Equal(forward, sorted) || !slices.Equal(backward, sorted) {
		rt.Errorf("scan %q, back %q, want %q", forward, backward, sorted)
	}
	for n, v := range model {
		if got, err := r.Get(key(partA, n)); err != nil || string(got) != v {
			rt.Errorf("Get %q: %q, %v, want %q", n, got, err, v)
		}
	}
	return nil
}
