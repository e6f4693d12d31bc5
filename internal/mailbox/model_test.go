package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"posthouse/internal/id"
)

// TestModel does random things to an account and to a simple model of one, and
// compares all that can be seen after each.
func TestModel(t *testing.T) {
	g := newGround(t)
	next := id.Account(0)
	rapid.Check(t, func(rt *rapid.T) {
		next++
		g.create(next)
		w := newWorld(g, next)
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": w.deliver,
			"append":  w.append,
			"flags":   w.flags,
			"expunge": w.expunge,
			"copy":    func(rt *rapid.T) { w.transfer(rt, false) },
			"move":    func(rt *rapid.T) { w.transfer(rt, true) },
			"create":  w.create,
			"delete":  w.delete,
			"rename":  w.rename,
			"reload":  w.reload,
			"":        w.check,
		})
	})
	g.verify()
	g.clock.Advance(defaultRecoverable * 2)
	g.must(g.Sweep(t.Context()))
	g.verify()
}

// modelMessage is what a message looks like from outside.
type modelMessage struct {
	uid     uint32
	flags   Flags
	words   string // lower case, sorted
	size    int
	message uint64
}

type modelBox struct {
	validity uint32
	next     uint32
	list     []modelMessage
}

// world is an account and its model.
type world struct {
	g     *ground
	acct  id.Account
	a     *Account
	open  map[string]*Mailbox
	last  map[uint32]*Snapshot // by mailbox id
	boxes map[string]*modelBox
	used  map[uint32]bool // UIDVALIDITY of mailboxes that were deleted
	texts int
	mod   uint64
}

func newWorld(g *ground, acct id.Account) *world {
	w := &world{g: g, acct: acct, boxes: make(map[string]*modelBox), used: make(map[uint32]bool)}
	w.load()
	for _, d := range defaultBoxes {
		st, err := w.a.Status(context.Background(), d.name)
		g.must(err)
		w.boxes[d.name] = &modelBox{validity: st.UIDValidity, next: 1}
	}
	return w
}

func (w *world) load() {
	var err error
	w.a, err = w.g.Account(context.Background(), w.acct)
	w.g.must(err)
	w.open, w.last = make(map[string]*Mailbox), make(map[uint32]*Snapshot)
}

func (w *world) close() {
	for _, m := range w.open {
		m.Close()
	}
	w.a.Release()
}

// reload is a restart.
func (w *world) reload(rt *rapid.T) {
	w.close()
	if rapid.Bool().Draw(rt, "restart") {
		w.g.reopen()
	} else {
		w.g.tidy(w.g.clock.Now().Add(2 * idleTime))
	}
	w.load()
}

// box is an open mailbox; nil when there is none of that name.
func (w *world) box(rt *rapid.T, name string) *Mailbox {
	if m := w.open[name]; m != nil && m.Name() == name {
		return m
	}
	m, err := w.a.Open(context.Background(), name)
	if w.boxes[name] == nil {
		if !errors.Is(err, ErrNoMailbox) {
			rt.Fatalf("open %s: %v", name, err)
		}
		return nil
	}
	if err != nil {
		rt.Fatalf("open %s: %v", name, err)
	}
	if old := w.open[name]; old != nil {
		old.Close()
	}
	w.open[name] = m
	return m
}

var (
	modelNames = rapid.SampledFrom([]string{"INBOX", "INBOX", "Trash", "a", "a/b", "a/b/c", "c"})
	modelWords = rapid.SliceOfN(rapid.SampledFrom([]string{"red", "RED", "Green", "blue"}), 0, 2)
	modelFlags = rapid.SampledFrom([]Flags{0, Seen, Deleted, Seen | Deleted, Flagged | Answered})
)

func wordSet(words ...string) string {
	set := make(map[string]bool)
	for _, w := range words {
		if w != "" {
			set[strings.ToLower(w)] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}

func drawUIDs(rt *rapid.T) UIDSet {
	first := rapid.Uint32Range(1, 12).Draw(rt, "first")
	set := UIDSet{{first, first + rapid.Uint32Range(0, 4).Draw(rt, "more")}}
	if rapid.Bool().Draw(rt, "two") {
		set = append(set, UIDRange{first + 6, first + 7})
	}
	return set
}

// ensure is the model's mailbox; made with its parents when it is missing.
func (w *world) ensure(name string) *modelBox {
	if w.boxes[name] != nil {
		return w.boxes[name]
	}
	for _, n := range append(parents(name), name) {
		if w.boxes[n] == nil {
			st, err := w.a.Status(context.Background(), n)
			w.g.must(err)
			w.boxes[n] = &modelBox{validity: st.UIDValidity, next: 1}
			if w.used[st.UIDValidity] {
				w.g.t.Errorf("UIDVALIDITY %d was used before", st.UIDValidity)
			}
		}
	}
	return w.boxes[name]
}

func (b *modelBox) add(m modelMessage) {
	m.uid = b.next
	b.next++
	b.list = append(b.list, m)
}

func (w *world) deliver(rt *rapid.T) {
	name := modelNames.Draw(rt, "box")
	w.texts++
	text := mail(fmt.Sprint("t", w.texts), strings.Repeat("x", w.texts%50))
	done := w.g.deliver(w.acct, name, text)
	b := w.ensure(name)
	if done.UID != b.next || done.UIDValidity != b.validity {
		rt.Fatalf("delivered as %+v, next is %d", done, b.next)
	}
	b.add(modelMessage{size: len(text), message: done.Message})
}

func (w *world) append(rt *rapid.T) {
	name, flags, words := modelNames.Draw(rt, "box"), modelFlags.Draw(rt, "flags"), modelWords.Draw(rt, "words")
	in, err := w.g.NewIncoming(context.Background())
	w.g.must(err)
	in.Write([]byte("x"))
	done, err := w.a.Append(context.Background(), name, in, flags, words, w.g.clock.Now())
	b := w.boxes[name]
	if b == nil {
		if !errors.Is(err, ErrNoMailbox) {
			rt.Fatalf("append to %s: %v", name, err)
		}
		return
	}
	if err != nil || done.UID != b.next {
		rt.Fatalf("append: %+v, %v", done, err)
	}
	b.add(modelMessage{size: 1, message: done.Message, flags: flags, words: wordSet(words...)})
	w.mustShow(rt, name)
}

// mustShow checks that a mailbox that is open shows a change once its call returned.
func (w *world) mustShow(rt *rapid.T, name string) {
	if m := w.open[name]; m != nil && m.Name() == name && m.Snapshot().Len() != len(w.boxes[name].list) {
		rt.Fatalf("%s shows %d messages, not %d", name, m.Snapshot().Len(), len(w.boxes[name].list))
	}
}

func (w *world) flags(rt *rapid.T) {
	name := modelNames.Draw(rt, "box")
	r := StoreRequest{UIDs: drawUIDs(rt), Op: FlagOp(rapid.IntRange(0, 2).Draw(rt, "op")),
		Flags: modelFlags.Draw(rt, "flags"), Keywords: modelWords.Draw(rt, "words")}
	m := w.box(rt, name)
	if m == nil {
		return
	}
	if _, err := m.StoreFlags(context.Background(), r); err != nil {
		rt.Fatal(err)
	}
	b := w.boxes[name]
	for i := range b.list {
		e := &b.list[i]
		if !r.UIDs.Sorted().Contains(e.uid) {
			continue
		}
		switch r.Op {
		case FlagsSet:
			e.flags, e.words = r.Flags, wordSet(r.Keywords...)
		case FlagsAdd:
			e.flags |= r.Flags
			e.words = wordSet(append(strings.Fields(e.words), r.Keywords...)...)
		case FlagsRemove:
			e.flags &^= r.Flags
			drop := strings.Fields(wordSet(r.Keywords...))
			e.words = wordSet(slices.DeleteFunc(strings.Fields(e.words), func(s string) bool { return slices.Contains(drop, s) })...)
		}
	}
}

func (w *world) expunge(rt *rapid.T) {
	name := modelNames.Draw(rt, "box")
	uids, force := drawUIDs(rt), rapid.Bool().Draw(rt, "force")
	if rapid.Bool().Draw(rt, "all") {
		uids, force = nil, false
	}
	m := w.box(rt, name)
	if m == nil {
		return
	}
	gone, err := m.Expunge(context.Background(), uids, force)
	if err != nil {
		rt.Fatal(err)
	}
	b := w.boxes[name]
	var want UIDSet
	b.list = slices.DeleteFunc(b.list, func(e modelMessage) bool {
		if uids != nil && !uids.Sorted().Contains(e.uid) || !force && e.flags&Deleted == 0 {
			return false
		}
		want = want.Add(e.uid)
		return true
	})
	if !slices.Equal(gone, want.Sorted()) {
		rt.Fatalf("expunged %v, want %v", gone, want)
	}
	w.mustShow(rt, name)
}

func (w *world) transfer(rt *rapid.T, move bool) {
	from, to, uids := modelNames.Draw(rt, "from"), modelNames.Draw(rt, "to"), drawUIDs(rt)
	m := w.box(rt, from)
	if m == nil {
		return
	}
	do := m.Copy
	if move {
		do = m.Move
	}
	res, err := do(context.Background(), uids, to)
	src, dest := w.boxes[from], w.boxes[to]
	if dest == nil {
		if !errors.Is(err, ErrNoMailbox) {
			rt.Fatalf("to %s: %v", to, err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	var moved []modelMessage
	for _, e := range src.list {
		if uids.Sorted().Contains(e.uid) {
			moved = append(moved, e)
		}
	}
	if res.Source.Count() != len(moved) || res.Dest.Count() != len(moved) || res.UIDValidity != dest.validity {
		rt.Fatalf("%+v for %d messages", res, len(moved))
	}
	for _, e := range moved {
		if move {
			src.list = slices.DeleteFunc(src.list, func(x modelMessage) bool { return x.uid == e.uid })
		}
		dest.add(e)
	}
	w.mustShow(rt, from)
	w.mustShow(rt, to)
}

func (w *world) create(rt *rapid.T) {
	name := modelNames.Draw(rt, "box")
	_, err := w.a.Create(context.Background(), name, "")
	if exists := w.boxes[name] != nil; exists != errors.Is(err, ErrExists) || !exists && err != nil {
		rt.Fatalf("create %s: %v", name, err)
	}
	w.ensure(name)
}

func (w *world) hasChildren(name string) bool {
	for n := range w.boxes {
		if isBelow(n, name) {
			return true
		}
	}
	return false
}

func (w *world) delete(rt *rapid.T) {
	name := modelNames.Draw(rt, "box")
	err := w.a.Delete(context.Background(), name)
	b := w.boxes[name]
	switch {
	case name == "INBOX":
		if !errors.Is(err, ErrNotAllowed) {
			rt.Fatal(err)
		}
	case b != nil:
		if err != nil {
			rt.Fatal(err)
		}
		w.used[b.validity] = true
		delete(w.boxes, name)
	case w.hasChildren(name):
		if !errors.Is(err, ErrHasChildren) {
			rt.Fatal(err)
		}
	case !errors.Is(err, ErrNoMailbox):
		rt.Fatal(err)
	}
}

func (w *world) rename(rt *rapid.T) {
	from, to := modelNames.Draw(rt, "from"), modelNames.Draw(rt, "to")
	err := w.a.Rename(context.Background(), from, to)
	if err != nil {
		if w.boxes[to] == nil && !isBelow(to, from) && (w.boxes[from] != nil || w.hasChildren(from)) && !w.hasChildren(to) {
			rt.Fatalf("rename %s to %s: %v", from, to, err)
		}
		return
	}
	if from == "INBOX" {
		old := w.boxes["INBOX"]
		b := w.ensure(to)
		for _, e := range old.list {
			b.add(e)
		}
		old.list = nil
		return
	}
	moved := make(map[string]*modelBox)
	for n, b := range w.boxes {
		if n == from || isBelow(n, from) {
			moved[to+strings.TrimPrefix(n, from)] = b
			delete(w.boxes, n)
		}
	}
	for _, p := range parents(to) {
		w.ensure(p)
	}
	maps.Copy(w.boxes, moved)
}

// check compares everything.
func (w *world) check(rt *rapid.T) {
	infos, err := w.a.Mailboxes(context.Background())
	if err != nil {
		rt.Fatal(err)
	}
	var names []string
	for _, i := range infos {
		if i.Exists {
			names = append(names, i.Name)
		}
	}
	sort.Strings(names)
	if want := slices.Sorted(maps.Keys(w.boxes)); !slices.Equal(names, want) {
		rt.Fatalf("mailboxes %q, want %q", names, want)
	}
	mod := w.mod
	for name, b := range w.boxes {
		st, err := w.a.Status(context.Background(), name)
		if err != nil || st.Messages != uint32(len(b.list)) || st.UIDNext != b.next || st.UIDValidity != b.validity {
			rt.Fatalf("status of %s: %+v, %v; want %d messages, next uid %d", name, st, err, len(b.list), b.next)
		}
		mod = max(mod, st.HighestModSeq)
		m := w.box(rt, name)
		if m.Snapshot().Status() != st {
			// a delivery is shown a moment after it: wait for that
			changed, stop := m.Changed()
			for m.Snapshot().Status() != st {
				<-changed
			}
			stop()
		}
		w.checkBox(rt, name, b, m)
	}
	w.mod = mod
}

func (w *world) checkBox(rt *rapid.T, name string, b *modelBox, m *Mailbox) {
	s := m.Snapshot()
	var got []modelMessage
	for i, e := range s.Range(0, s.Len()) {
		var words []string
		for k, word := range s.Keywords() {
			if e.Keywords&(1<<k) != 0 {
				words = append(words, word)
			}
		}
		got = append(got, modelMessage{e.UID, e.Flags, wordSet(words...), int(e.Size), e.Message})
		if at, ok := s.Index(e.UID); at != i || !ok || s.At(i) != *e {
			rt.Fatalf("%s: uid %d is not found at %d", name, e.UID, i)
		}
	}
	if !slices.Equal(got, b.list) {
		rt.Fatalf("%s has\n%v, want\n%v", name, got, b.list)
	}
	if old := w.last[m.ID()]; old != nil {
		w.checkDiff(rt, m, old, s)
	}
	w.last[m.ID()] = s
}

// checkDiff applies a diff to the older snapshot, and asks the log about it.
func (w *world) checkDiff(rt *rapid.T, m *Mailbox, old, s *Snapshot) {
	expunged, changed, firstNew := s.Diff(old)
	list := make([]Entry, 0, s.Len())
	var gone UIDSet
	for i, e := range old.Range(0, old.Len()) {
		if slices.Contains(expunged, i) {
			gone = gone.Add(e.UID)
		} else {
			list = append(list, *e)
		}
	}
	for _, i := range changed {
		if s.At(i).ModSeq <= list[i].ModSeq {
			rt.Fatalf("modseq fell from %d to %d", list[i].ModSeq, s.At(i).ModSeq)
		}
		list[i] = s.At(i)
	}
	for _, e := range s.Range(firstNew, s.Len()) {
		if e.UID < old.Status().UIDNext || e.ModSeq <= old.Status().HighestModSeq {
			rt.Fatalf("new entry %+v after %+v", e, old.Status())
		}
		list = append(list, *e)
	}
	var want []Entry
	for _, e := range s.Range(0, s.Len()) {
		want = append(want, *e)
	}
	if !slices.Equal(list, want) {
		rt.Fatalf("diff %v %v %d makes\n%v of\n%v", expunged, changed, firstNew, list, uidsOf(old))
	}
	logged, ok, err := m.Expunged(context.Background(), old.Status().HighestModSeq)
	if err != nil || !ok {
		rt.Fatalf("expunged since %d: %v %v", old.Status().HighestModSeq, ok, err)
	}
	for uid := range gone.All() {
		if !logged.Contains(uid) {
			rt.Fatalf("%d is expunged and not in %v", uid, logged)
		}
	}
	for uid := range logged.All() {
		if _, there := s.Index(uid); there {
			rt.Fatalf("%d is in the log of expunges and in the mailbox", uid)
		}
	}
}
