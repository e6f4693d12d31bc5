package mailbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keywords are k0, k1 … up to n.
func keywords(n int) (words []string) {
	for i := range n {
		words = append(words, fmt.Sprintf("k%d", i))
	}
	return words
}

// wordsOf are the keywords of a message by name, in alphabetical order.
func wordsOf(s *Snapshot, uid uint32) string {
	i, ok := s.Index(uid)
	if !ok {
		return "gone"
	}
	var words []string
	for k, name := range s.Keywords() {
		if s.At(i).Keywords&(1<<k) != 0 {
			words = append(words, strings.ToLower(name))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestKeywordsAreFull(t *testing.T) {
	g := newGround(t)
	g.create(1)
	g.deliver(1, "INBOX", mail("one", "hello"))
	m := g.box(g.account(1), "INBOX")
	_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(1), Op: FlagsSet, Keywords: keywords(maxKeywords)})
	g.must(err)
	s := m.Snapshot()
	if !s.KeywordsFull() || s.At(0).Keywords != 1<<64-1 {
		t.Errorf("full %v, bits %x", s.KeywordsFull(), s.At(0).Keywords)
	}
	_, err = m.StoreFlags(t.Context(), StoreRequest{UIDs: one(1), Op: FlagsAdd, Keywords: []string{"more"}})
	if !errors.Is(err, ErrKeywords) {
		t.Errorf("one more: %v", err)
	}
	g.verify()
}

// Where all places are taken, new keywords get those that no message bears any
// more. Who looks at an older snapshot sees what was.
func TestKeywordsComeBack(t *testing.T) {
	g := newGround(t)
	g.create(1)
	g.fill(1, "INBOX", 3)
	a := g.account(1)
	m := g.box(a, "INBOX")
	store := func(op FlagOp, uids UIDSet, words ...string) error {
		t.Helper()
		_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: uids, Op: op, Keywords: words})
		return err
	}
	g.must(store(FlagsAdd, one(1), keywords(maxKeywords-1)...))
	g.must(store(FlagsAdd, one(2), "k3", "Last"))
	if m.Snapshot().KeywordsFull() != true {
		t.Error("there is room")
	}
	_, err := m.Expunge(t.Context(), one(2), true)
	g.must(err)
	if m.Snapshot().KeywordsFull() {
		t.Error("the expunged message's keyword does not come back")
	}
	g.must(store(FlagsRemove, one(1), "k7", "k9"))
	before := m.Snapshot()
	if err := store(FlagsAdd, one(3), "n1", "N1", "k1", "n2", "n3", "n4"); !errors.Is(err, ErrKeywords) {
		t.Errorf("four for three places: %v", err)
	}
	if m.Snapshot() != before {
		t.Error("the refused keywords changed something")
	}
	g.must(store(FlagsAdd, one(3), "n1", "N1", "k1", "n2", "n3"))
	now := m.Snapshot()
	if got := wordsOf(now, 3); got != "k1 n1 n2 n3" || !now.KeywordsFull() {
		t.Errorf("%q, full %v", got, now.KeywordsFull())
	}
	if got, want := wordsOf(now, 1), wordsOf(before, 1); got != want || strings.Contains(got, "n") {
		t.Errorf("another message has %q, want %q", got, want)
	}
	if !slices.Contains(before.Keywords(), "Last") || slices.Contains(now.Keywords(), "Last") || slices.Contains(now.Keywords(), "k9") {
		t.Errorf("%v, then %v", before.Keywords(), now.Keywords())
	}
	if _, changed, _ := now.Diff(before); !slices.Equal(changed, []int{1}) {
		t.Errorf("changed %v", changed)
	}
	// A copy gives what there is room for.
	_, err = a.Create(t.Context(), "Other", "")
	g.must(err)
	_, err = m.Copy(t.Context(), UIDSet{{1, 3}}, "Other")
	g.must(err)
	other := g.box(a, "Other").Snapshot()
	if wordsOf(other, 1) != wordsOf(now, 1) || wordsOf(other, 2) != "k1 n1 n2 n3" {
		t.Errorf("copied as %q, %q", wordsOf(other, 1), wordsOf(other, 2))
	}
	g.verify()
	want := wordsOf(now, 1)
	g.reopen()
	fresh := g.box(g.account(1), "INBOX").Snapshot()
	if wordsOf(fresh, 1) != want || wordsOf(fresh, 3) != "k1 n1 n2 n3" {
		t.Errorf("after a restart %q, %q", wordsOf(fresh, 1), wordsOf(fresh, 3))
	}
}

// Whatever is stored, every message has its keywords by name, in every snapshot
// that was taken; and a new keyword is refused only when all are borne.
func TestKeywordsModel(t *testing.T) {
	g := newGround(t)
	g.create(1)
	const messages = 4
	g.fill(1, "INBOX", messages)
	m := g.box(g.account(1), "INBOX")
	clear := StoreRequest{UIDs: everything, Op: FlagsSet}
	vocabulary := keywords(80)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := m.StoreFlags(t.Context(), clear)
		g.must(err)
		model := make([]map[string]bool, messages)
		for i := range model {
			model[i] = make(map[string]bool)
		}
		shown := func() (all []string) {
			for uid := range messages {
				words := make([]string, 0, len(model[uid]))
				for w := range model[uid] {
					words = append(words, w)
				}
				slices.Sort(words)
				all = append(all, strings.Join(words, " "))
			}
			return all
		}
		type past struct {
			s    *Snapshot
			want []string
		}
		var pasts []past
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			uid := rapid.IntRange(0, messages-1).Draw(rt, "uid")
			words := rapid.SliceOfN(rapid.SampledFrom(vocabulary), 0, 40).Draw(rt, "words")
			op := rapid.SampledFrom([]FlagOp{FlagsAdd, FlagsAdd, FlagsRemove, FlagsSet}).Draw(rt, "op")
			borne := make(map[string]bool)
			for _, has := range model {
				for w := range has {
					borne[w] = true
				}
			}
			for _, w := range words {
				borne[w] = true
			}
			_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(uint32(uid + 1)), Op: op, Keywords: words})
			switch {
			case op != FlagsRemove && len(borne) > maxKeywords:
				if !errors.Is(err, ErrKeywords) {
					rt.Fatalf("%d keywords: %v", len(borne), err)
				}
			case err != nil:
				rt.Fatalf("%d keywords: %v", len(borne), err)
			default:
				if op == FlagsSet {
					model[uid] = make(map[string]bool)
				}
				for _, w := range words {
					if op == FlagsRemove {
						delete(model[uid], w)
					} else {
						model[uid][w] = true
					}
				}
			}
			pasts = append(pasts, past{m.Snapshot(), shown()})
			for i, p := range pasts {
				for uid, want := range p.want {
					if got := wordsOf(p.s, uint32(uid+1)); got != want {
						rt.Fatalf("snapshot %d of %d, message %d: %q, want %q", i, len(pasts), uid+1, got, want)
					}
				}
			}
		}
	})
	g.verify()
}
