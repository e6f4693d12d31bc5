package mailbox

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestDeliverAndRead(t *testing.T) {
	g := newGround(t)
	g.create(1)
	first := g.deliver(1, "INBOX", mail("one", "hello"))
	a := g.account(1)
	m := g.box(a, "inbox")
	changed, stop := m.Changed()
	defer stop()
	second := g.deliver(1, "INBOX", mail("two", "world"))
	<-changed
	s := m.Snapshot()
	if got := uidsOf(s); !slices.Equal(got, []uint32{1, 2}) {
		t.Fatalf("uids %v", got)
	}
	if first.UID != 1 || second.UID != 2 || second.ModSeq <= first.ModSeq || first.UIDValidity == 0 {
		t.Errorf("delivered as %+v and %+v", first, second)
	}
	st := s.Status()
	if st.Messages != 2 || st.Unseen != 2 || st.UIDNext != 3 || st.HighestModSeq != second.ModSeq || st.UIDValidity != first.UIDValidity {
		t.Errorf("status %+v", st)
	}
	body, err := m.Body(t.Context(), s.At(1))
	g.must(err)
	defer body.Close()
	text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if string(text) != mail("two", "world") || err != nil {
		t.Errorf("body %q, %v", text, err)
	}
	if e := s.At(1); int64(e.Size) != body.Size() || e.InternalDate != g.clock.Now().Unix() {
		t.Errorf("entry %+v", e)
	}
	g.verify()
}

func TestDeliverMakesTheMailbox(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	list, stop := a.MailboxesChanged()
	defer stop()
	g.deliver(1, "Lists/go", mail("one", "hello"))
	<-list
	st, err := a.Status(t.Context(), "Lists/go")
	if err != nil || st.Messages != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	if _, err := a.Status(t.Context(), "Lists"); err != nil {
		t.Errorf("the parent: %v", err)
	}
	g.verify()
}

func TestStoreFlags(t *testing.T) {
	g := newGround(t)
	g.create(1)
	for range 3 {
		g.deliver(1, "INBOX", mail("one", "hello"))
	}
	m := g.box(g.account(1), "INBOX")
	before := m.Snapshot()
	res, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: UIDSet{{1, 2}}, Op: FlagsAdd, Flags: Seen, Keywords: []string{"$Work", "Home"}})
	g.must(err)
	s := m.Snapshot()
	if e := s.At(0); e.Flags != Seen || e.Keywords != 3 || e.ModSeq != res.ModSeq {
		t.Errorf("entry %+v", e)
	}
	if st := s.Status(); st.Unseen != 1 || !slices.Equal(s.Keywords(), []string{"$Work", "Home"}) {
		t.Errorf("status %+v, keywords %v", st, s.Keywords())
	}
	expunged, changed, firstNew := s.Diff(before)
	if expunged != nil || !slices.Equal(changed, []int{0, 1}) || firstNew != 3 {
		t.Errorf("diff %v %v %d", expunged, changed, firstNew)
	}

	// the first spelling stays, and what is so already is no change
	again, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(1), Op: FlagsAdd, Flags: Seen, Keywords: []string{"$WORK"}})
	if err != nil || again.ModSeq != 0 || m.Snapshot() != s {
		t.Errorf("no change: %+v, %v", again, err)
	}
	// RFC 7162 section 3.1.3
	cond, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: UIDSet{{1, 3}}, Op: FlagsSet, Flags: Flagged,
		HasUnchanged: true, UnchangedSince: before.Status().HighestModSeq})
	if err != nil || !reflect.DeepEqual(cond.Failed, UIDSet{{1, 2}}) || cond.ModSeq <= res.ModSeq {
		t.Errorf("conditional store: %+v, %v", cond, err)
	}
	if e := m.Snapshot().At(2); e.Flags != Flagged {
		t.Errorf("entry %+v", e)
	}
	rm, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: everything, Op: FlagsRemove, Flags: Seen | Flagged, Keywords: []string{"home", "unknown"}})
	g.must(err)
	for _, e := range m.Snapshot().Range(0, 3) {
		if e.Flags != 0 || e.Keywords&2 != 0 {
			t.Errorf("entry %+v after remove %+v", e, rm)
		}
	}
	if len(m.Snapshot().Keywords()) != 2 {
		t.Errorf("removing an unknown keyword added it: %v", m.Snapshot().Keywords())
	}
	g.verify()
}

func TestExpunge(t *testing.T) {
	g := newGround(t)
	g.create(1)
	for range 5 {
		g.deliver(1, "INBOX", mail("one", "hello"))
	}
	m := g.box(g.account(1), "INBOX")
	_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: UIDSet{{2, 4}}, Op: FlagsAdd, Flags: Deleted})
	g.must(err)
	old := m.Snapshot()
	gone, err := m.Expunge(t.Context(), UIDSet{{1, 3}}, false)
	if err != nil || !reflect.DeepEqual(gone, UIDSet{{2, 3}}) {
		t.Fatalf("gone %v, %v", gone, err)
	}
	if expunged, _, _ := m.Snapshot().Diff(old); !slices.Equal(expunged, []int{1, 2}) {
		t.Errorf("diff %v", expunged)
	}
	if gone, err := m.Expunge(t.Context(), nil, false); err != nil || !reflect.DeepEqual(gone, one(4)) {
		t.Errorf("all that are deleted: %v, %v", gone, err)
	}
	if gone, err := m.Expunge(t.Context(), one(1), true); err != nil || !reflect.DeepEqual(gone, one(1)) {
		t.Errorf("by force: %v, %v", gone, err)
	}
	uids, ok, err := m.Expunged(t.Context(), old.Status().HighestModSeq)
	if err != nil || !ok || !reflect.DeepEqual(uids, UIDSet{{1, 4}}) {
		t.Errorf("expunged since: %v %v %v", uids, ok, err)
	}
	// a session that still shows an expunged message can read it
	body, err := m.Body(t.Context(), old.At(1))
	g.must(err)
	body.Close()
	g.verify()
}

func TestExpungedBodiesAreDroppedInTime(t *testing.T) {
	g := newGround(t)
	g.create(1)
	g.deliver(1, "INBOX", mail("one", "hello"))
	g.deliver(1, "INBOX", mail("two", "hello"))
	m := g.box(g.account(1), "INBOX")
	e := m.Snapshot().At(0)
	_, err := m.Expunge(t.Context(), one(1), true)
	g.must(err)
	g.clock.Advance(defaultRecoverable - time.Hour)
	g.must(g.Sweep(t.Context()))
	body, err := m.Body(t.Context(), e)
	if err != nil {
		t.Fatalf("within its time: %v", err)
	}
	body.Close()
	g.clock.Advance(3 * time.Hour)
	g.must(g.Sweep(t.Context()))
	if _, err := m.Body(t.Context(), e); !errors.Is(err, ErrGone) {
		t.Errorf("after its time: %v", err)
	}
	g.verify()
}

func TestAppend(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	m := g.box(a, "Sent")
	in, err := g.NewIncoming(t.Context())
	g.must(err)
	io.WriteString(in, mail("one", "hello"))
	date := time.Unix(1_000_000_000, 0)
	done, err := a.Append(t.Context(), "Sent", in, Seen|Draft, []string{"$Forwarded"}, date)
	g.must(err)
	s := m.Snapshot()
	if e := s.At(0); e.UID != done.UID || e.Flags != Seen|Draft || e.Keywords != 1 || e.InternalDate != date.Unix() || e.SaveDate != g.clock.Now().Unix() {
		t.Errorf("entry %+v", e)
	}
	in, err = g.NewIncoming(t.Context())
	g.must(err)
	if _, err := a.Append(t.Context(), "Nowhere", in, 0, nil, date); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("to a mailbox that is not there: %v", err)
	}
	g.quota = int64(s.At(0).Size)
	in, err = g.NewIncoming(t.Context())
	g.must(err)
	io.WriteString(in, "x")
	if _, err := a.Append(t.Context(), "Sent", in, 0, nil, date); !errors.Is(err, ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	g.verify()
}

func TestTooBig(t *testing.T) {
	g := newGround(t)
	g.Store.opt.MaxMessageSize = 10
	in, err := g.NewIncoming(t.Context())
	g.must(err)
	defer in.Abort()
	if _, err := io.WriteString(in, "0123456789"); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(in, "0"); !errors.Is(err, ErrTooBig) {
		t.Errorf("eleven bytes: %v", err)
	}
	if _, err := in.Commit(t.Context(), nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("commit: %v", err)
	}
}

func TestPOP3Lock(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	m, other := g.box(a, "INBOX"), g.box(a, "INBOX")
	unlock, ok := m.Lock()
	if !ok {
		t.Fatal("the first lock")
	}
	if _, ok := other.Lock(); ok {
		t.Error("a second lock")
	}
	unlock()
	unlock()
	unlock, ok = other.Lock()
	if !ok {
		t.Error("a lock after the first")
	}
	unlock()
}

func TestIdleMailboxesAreUnloaded(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a, err := g.Account(t.Context(), 1)
	g.must(err)
	m, err := a.Open(t.Context(), "INBOX")
	g.must(err)
	g.tidy(g.clock.Now().Add(time.Hour))
	if g.loaded(1) == nil || len(a.a.boxes) != 1 {
		t.Fatal("a mailbox in use was unloaded")
	}
	m.Close()
	m.Close()
	a.Release()
	a.Release()
	g.tidy(g.clock.Now().Add(idleTime / 2))
	if g.loaded(1) == nil || len(a.a.boxes) != 1 {
		t.Error("unloaded too early")
	}
	g.tidy(g.clock.Now().Add(idleTime))
	if g.loaded(1) != nil {
		t.Error("still loaded")
	}
}
