package mailbox

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestCopy(t *testing.T) {
	g := newGround(t)
	g.create(1)
	for range 4 {
		g.deliver(1, "INBOX", mail("one", "hello"))
	}
	a := g.account(1)
	m, dest := g.box(a, "INBOX"), g.box(a, "Archive")
	_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(2), Op: FlagsSet, Flags: Seen, Keywords: []string{"x", "y"}})
	g.must(err)
	_, err = m.StoreFlags(t.Context(), StoreRequest{UIDs: one(2), Op: FlagsRemove, Keywords: []string{"x"}})
	g.must(err)
	src := m.Snapshot()
	res, err := m.Copy(t.Context(), UIDSet{{2, 3}, {9, 9}}, "archive")
	if !errors.Is(err, ErrNoMailbox) {
		t.Errorf("to a name that is not there: %+v, %v", res, err)
	}
	res, err = m.Copy(t.Context(), UIDSet{{2, 3}, {9, 9}}, "Archive")
	g.must(err)
	want := CopyResult{UIDValidity: dest.Snapshot().Status().UIDValidity, Source: UIDSet{{2, 3}}, Dest: UIDSet{{1, 2}}}
	if !reflect.DeepEqual(res, want) {
		t.Errorf("%+v", res)
	}
	d := dest.Snapshot()
	if !slices.Equal(d.Keywords(), []string{"y"}) || d.At(0).Keywords != 1 || d.At(0).Flags != Seen {
		t.Errorf("copied as %+v with %v", d.At(0), d.Keywords())
	}
	if d.At(0).Message != src.At(1).Message || d.At(0).Thread != src.At(1).Thread || d.At(0).InternalDate != src.At(1).InternalDate {
		t.Errorf("%+v is not %+v", d.At(0), src.At(1))
	}
	if u, _ := g.Usage(t.Context(), 1); u.Messages != 6 {
		t.Errorf("usage %+v", u)
	}
	// into itself
	if res, err := m.Copy(t.Context(), one(1), "INBOX"); err != nil || !reflect.DeepEqual(res.Dest, one(5)) {
		t.Errorf("%+v, %v", res, err)
	}
	g.quota = 1
	if _, err := m.Copy(t.Context(), one(1), "Archive"); !errors.Is(err, ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	g.verify()
}

func TestMove(t *testing.T) {
	g := newGround(t)
	g.create(1)
	for range 4 {
		g.deliver(1, "INBOX", mail("one", "hello"))
	}
	a := g.account(1)
	m, dest := g.box(a, "INBOX"), g.box(a, "Trash")
	g.quota = 1 // moving takes no room
	old := m.Snapshot()
	res, err := m.Move(t.Context(), UIDSet{{1, 1}, {3, 9}}, "Trash")
	g.must(err)
	if !reflect.DeepEqual(res.Source, UIDSet{{1, 1}, {3, 4}}) || !reflect.DeepEqual(res.Dest, UIDSet{{1, 3}}) {
		t.Errorf("%+v", res)
	}
	if got := uidsOf(m.Snapshot()); !slices.Equal(got, []uint32{2}) {
		t.Errorf("left %v", got)
	}
	if dest.Snapshot().Len() != 3 || dest.Snapshot().At(2).Message != old.At(3).Message {
		t.Errorf("moved %v", uidsOf(dest.Snapshot()))
	}
	uids, ok, err := m.Expunged(t.Context(), old.Status().HighestModSeq)
	if err != nil || !ok || !reflect.DeepEqual(uids, UIDSet{{1, 1}, {3, 4}}) {
		t.Errorf("expunged %v %v %v", uids, ok, err)
	}
	if res, err := m.Move(t.Context(), one(2), "INBOX"); err != nil || !reflect.DeepEqual(res.Dest, one(5)) {
		t.Errorf("into itself: %+v, %v", res, err)
	}
	g.verify()
}

func TestCopyOfManyIsUndone(t *testing.T) {
	g := newGround(t)
	if testing.Short() || raceDetector { // fifty times slower
		g.Store.copyPage /= 20
	}
	g.create(1)
	n := g.Store.copyPage * 5 / 4
	g.fill(1, "INBOX", n)
	a := g.account(1)
	m, dest := g.box(a, "INBOX"), g.box(a, "Archive")
	res, err := m.Copy(t.Context(), everything, "Archive")
	g.must(err)
	if !reflect.DeepEqual(res.Source, UIDSet{{1, uint32(n)}}) && res.Source.Count() != n || dest.Snapshot().Len() != n {
		t.Errorf("copied %d, %d are there", res.Source.Count(), dest.Snapshot().Len())
	}
	if _, err := dest.Move(t.Context(), everything, "Trash"); err != nil || dest.Snapshot().Len() != 0 {
		t.Errorf("moved on: %v, %d left", err, dest.Snapshot().Len())
	}

	// a copy that the house did not live to finish
	tr := &transfer{src: inboxID, dest: "Archive"}
	_, err = a.a.s.update(t.Context(), 1, func(e *edit) error {
		_, _, err := e.transfer(tr, []uint32{1, 2, 3}, false)
		return err
	})
	g.must(err)
	g.must(g.Sweep(t.Context()))
	if st, _ := a.Status(t.Context(), "Archive"); st.Messages != 3 {
		t.Errorf("a copy under way was undone: %+v", st)
	}
	g.clock.Advance(4 * 3600e9)
	g.must(g.Sweep(t.Context()))
	if st, _ := a.Status(t.Context(), "Archive"); st.Messages != 0 {
		t.Errorf("left behind: %+v", st)
	}
	g.verify()
}
