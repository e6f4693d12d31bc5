package mailbox

import (
	"errors"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
	"posthouse/internal/space"
)

// TestFullDisk takes no bodies and then no copies on a disk that fills, and all
// the time what clears away. Expunged messages are dropped before their time, and
// then there is room for others.
func TestFullDisk(t *testing.T) {
	g := newGround(t)
	disk := new(faultfs.Injector)
	g.space = space.New(space.Options{FS: disk, Clock: g.clock, Dirs: []string{g.dir}, Reserve: 1 << 20})
	g.reopen()
	g.create(1)
	a := g.account(1)
	for _, name := range []string{"one", "two", "three"} {
		g.deliver(1, "INBOX", mail(name, "hello"))
	}
	m := g.box(a, "INBOX")
	old := m.Snapshot().At(0)
	room := func(bytes int64) {
		disk.Room(bytes)
		g.clock.Advance(time.Second)
	}

	room(1<<20 - 1)
	if _, err := g.NewIncoming(t.Context()); !errors.Is(err, blob.ErrFull) {
		t.Errorf("a body in the reserve: %v", err)
	}
	if in, err := g.NewOwn(t.Context()); err != nil {
		t.Errorf("a body of the house in the reserve: %v", err)
	} else {
		in.Abort()
	}
	if _, err := m.Copy(t.Context(), one(2), "Trash"); err != nil {
		t.Errorf("COPY in the reserve: %v", err)
	}

	room(1<<19 - 1)
	if _, err := m.Copy(t.Context(), one(2), "Trash"); !errors.Is(err, blob.ErrFull) {
		t.Errorf("COPY in the second half of the reserve: %v", err)
	}
	if _, err := m.Move(t.Context(), one(3), "Trash"); err != nil {
		t.Errorf("MOVE in the reserve: %v", err)
	}
	if _, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(1), Op: FlagsAdd, Flags: Deleted}); err != nil {
		t.Errorf("STORE in the reserve: %v", err)
	}
	if gone, err := m.Expunge(t.Context(), nil, false); err != nil || len(gone) != 1 {
		t.Errorf("EXPUNGE in the reserve: %v, %v", gone, err)
	}

	room(1<<18 - 1)
	if _, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(2), Op: FlagsAdd, Flags: Flagged}); !errors.Is(err, blob.ErrFull) {
		t.Errorf("STORE in the last quarter of the reserve: %v", err)
	}
	for _, op := range []FlagOp{FlagsSet, FlagsAdd} {
		if _, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(2), Op: op, Flags: Deleted}); err != nil {
			t.Errorf("\\Deleted in the last quarter of the reserve: %v", err)
		}
	}
	if gone, err := m.Expunge(t.Context(), nil, false); err != nil || len(gone) != 1 {
		t.Errorf("EXPUNGE in the last quarter of the reserve: %v, %v", gone, err)
	}
	if err := a.Delete(t.Context(), "Trash"); err != nil {
		t.Errorf("DELETE in the last quarter of the reserve: %v", err)
	}
	g.must(g.sweepAll(t.Context(), 0))

	disk.Room(-1) // or the collector would see a full disk
	haste := 0
	for ; haste < 20; haste++ {
		g.must(g.sweepAll(t.Context(), haste))
		body, err := m.Body(t.Context(), old)
		if errors.Is(err, ErrGone) {
			break
		}
		g.must(err)
		g.must(body.Close())
	}
	if haste < 5 || haste > 10 { // 14 days, halved until it is less than an hour
		t.Errorf("dropped at look %d", haste)
	}
	g.clock.Advance(time.Second)
	g.deliver(1, "INBOX", mail("four", "hello"))
	g.verify()
}

// TestSweeperHurries drops what is expunged by itself while the disk is full.
func TestSweeperHurries(t *testing.T) {
	g := newGround(t)
	disk := new(faultfs.Injector)
	g.space = space.New(space.Options{FS: disk, Clock: g.clock, Dirs: []string{g.dir}, Reserve: 1 << 20})
	g.reopen()
	g.create(1)
	g.deliver(1, "INBOX", mail("one", "hello"))
	m := g.box(g.account(1), "INBOX")
	e := m.Snapshot().At(0)
	_, err := m.Expunge(t.Context(), one(1), true)
	g.must(err)
	disk.Room(1 << 19)
	for range 12 { // a minute of 14 days
		g.clock.look()
		body, err := m.Body(t.Context(), e)
		if errors.Is(err, ErrGone) {
			g.verify()
			return
		}
		g.must(err)
		g.must(body.Close())
	}
	t.Error("still there")
}
