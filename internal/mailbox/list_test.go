package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"posthouse/internal/blob"
)

// listing writes the list of mailboxes in short: a name, then ! for one that
// does not exist, + with children, s subscribed, and its special use.
func (g *ground) listing(a *Account) []string {
	g.t.Helper()
	infos, err := a.Mailboxes(g.t.Context())
	g.must(err)
	var out []string
	for _, i := range infos {
		s := i.Name
		if !i.Exists {
			s += "!"
			if i.ID != 0 {
				s += "?"
			}
		}
		if i.Children {
			s += "+"
		}
		if i.Subscribed {
			s += "s"
		}
		out = append(out, s+i.SpecialUse)
	}
	return out
}

// want compares the list of mailboxes but for those that every account has.
func (g *ground) want(a *Account, want ...string) {
	g.t.Helper()
	got := slices.DeleteFunc(g.listing(a), func(s string) bool {
		return s == "INBOXs" || strings.Contains(s, `\`)
	})
	if !slices.Equal(got, want) {
		g.t.Errorf("mailboxes %q, want %q", got, want)
	}
}

func TestNewAccount(t *testing.T) {
	g := newGround(t)
	if _, err := g.Account(t.Context(), 1); !errors.Is(err, ErrDeleted) {
		t.Errorf("before it is made: %v", err)
	}
	g.create(1)
	want := []string{"INBOXs", `Archives\Archive`, `Draftss\Drafts`, `Junks\Junk`, `Sents\Sent`, `Trashs\Trash`}
	if got := g.listing(g.account(1)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	g.verify()
}

func TestCreateDeleteSubscribe(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a, ctx := g.account(1), t.Context()
	info, err := a.Create(ctx, "a/b/c/", "")
	if err != nil || info.Name != "a/b/c" || !info.Exists || info.ID == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	g.want(a, "a+", "a/b+", "a/b/c")
	for name, want := range map[string]error{
		"a": ErrExists, "inbox": ErrExists, "x//y": ErrBadName,
	} {
		if _, err := a.Create(ctx, name, ""); !errors.Is(err, want) {
			t.Errorf("create %s: %v", name, err)
		}
	}
	g.must(a.Subscribe(ctx, "a/b/c", true))
	g.must(a.Subscribe(ctx, "nowhere", true))
	g.must(a.Delete(ctx, "a"))
	g.want(a, "a!+", "a/b+", "a/b/cs", "nowhere!s")
	for name, want := range map[string]error{
		"a": ErrHasChildren, "INBOX": ErrNotAllowed, "zzz": ErrNoMailbox,
	} {
		if err := a.Delete(ctx, name); !errors.Is(err, want) {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	g.must(a.Delete(ctx, "a/b/c"))
	g.want(a, "a!+", "a/b", "a/b/c!s", "nowhere!s")
	g.must(a.Subscribe(ctx, "nowhere", false))
	g.must(a.Delete(ctx, "a/b"))
	g.want(a, "a/b/c!s")
	g.verify()
}

func TestSpecialUse(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	if _, err := a.Create(t.Context(), "Outgoing", `\Sent`); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := a.Create(t.Context(), "All", `\All`); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("one that is not offered: %v", err)
	}
	g.must(a.Delete(t.Context(), "Sent"))
	if info, err := a.Create(t.Context(), "Outgoing", `\Sent`); err != nil || info.SpecialUse != `\Sent` {
		t.Errorf("%+v, %v", info, err)
	}
	g.must(a.Rename(t.Context(), "Outgoing", "Sent mail"))
	if got := g.listing(a); !slices.Contains(got, `Sent mail\Sent`) {
		t.Errorf("after RENAME: %q", got)
	}
}

func TestUIDValidityNeverComesBack(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	last := uint32(0)
	for range 5 {
		_, err := a.Create(t.Context(), "x", "")
		g.must(err)
		st, err := a.Status(t.Context(), "x")
		g.must(err)
		if st.UIDValidity <= last || st.UIDNext != 1 {
			t.Errorf("%+v after %d", st, last)
		}
		last = st.UIDValidity
		g.deliver(1, "x", mail("one", "hello"))
		g.must(a.Delete(t.Context(), "x"))
	}
	g.verify()
}

func TestRename(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a, ctx := g.account(1), t.Context()
	for _, name := range []string{"a/b/c", "a/bb", "taken/b"} {
		_, err := a.Create(ctx, name, "")
		g.must(err)
	}
	g.deliver(1, "a/b", mail("one", "hello"))
	m := g.box(a, "a/b")
	list, stop := a.MailboxesChanged()
	defer stop()
	g.must(a.Rename(ctx, "a/b", "x/y"))
	<-list
	g.want(a, "a+", "a/bb", "taken+", "taken/b", "x+", "x/y+", "x/y/c")
	if m.Name() != "x/y" || m.Snapshot().Len() != 1 {
		t.Errorf("the open mailbox is %q with %d", m.Name(), m.Snapshot().Len())
	}
	for _, test := range []struct {
		from, to string
		want     error
	}{
		{"x", "x/y/z", ErrNotAllowed},
		{"x", "taken", ErrExists},
		{"x", "x", ErrExists},
		{"nowhere", "z", ErrNoMailbox},
		{"x", "inbox", ErrExists},
		{"x", "a//b", ErrBadName},
		{"x/y/c", strings.Repeat("z", maxLevel+1), ErrBadName},
	} {
		if err := a.Rename(ctx, test.from, test.to); !errors.Is(err, test.want) {
			t.Errorf("rename %s to %s: %v", test.from, test.to, err)
		}
	}
	// a parent that does not exist any more, and one that would take a name
	g.must(a.Delete(ctx, "x"))
	g.must(a.Rename(ctx, "x", "z"))
	g.must(a.Delete(ctx, "taken"))
	_, err := a.Create(ctx, "w/b", "")
	g.must(err)
	if err := a.Rename(ctx, "w", "taken"); !errors.Is(err, ErrExists) {
		t.Errorf("onto a child: %v", err)
	}
	g.want(a, "a+", "a/bb", "taken!+", "taken/b", "w+", "w/b", "z!+", "z/y+", "z/y/c")
	g.verify()
}

func TestRenameInbox(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	_, err := a.Create(t.Context(), "INBOX/child", "")
	g.must(err)
	for range 3 {
		g.deliver(1, "INBOX", mail("one", "hello"))
	}
	m := g.box(a, "INBOX")
	g.must(a.Rename(t.Context(), "Inbox", "old/mail"))
	st, err := a.Status(t.Context(), "old/mail")
	if err != nil || st.Messages != 3 || m.Snapshot().Len() != 0 {
		t.Errorf("%+v, %v, INBOX has %d", st, err, m.Snapshot().Len())
	}
	// RFC 9051 section 6.3.6: its children stay
	if _, err := a.Status(t.Context(), "INBOX/child"); err != nil {
		t.Error(err)
	}
	if d := g.deliver(1, "INBOX", mail("two", "hello")); d.UID != 4 {
		t.Errorf("UID %d given again", d.UID)
	}
	g.verify()
}

func TestDeleteAnOpenMailbox(t *testing.T) {
	g := newGround(t)
	g.create(1)
	a := g.account(1)
	g.deliver(1, "x", mail("one", "hello"))
	m := g.box(a, "x")
	changed, stop := m.Changed()
	defer stop()
	g.must(a.Delete(t.Context(), "x"))
	<-changed
	if m.Name() != "" || m.Snapshot().Len() != 1 {
		t.Errorf("name %q, %d messages", m.Name(), m.Snapshot().Len())
	}
	if _, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: one(1), Flags: Seen}); !errors.Is(err, ErrDeleted) {
		t.Errorf("STORE: %v", err)
	}
	if _, err := a.Open(t.Context(), "x"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("open: %v", err)
	}
	if u, err := g.Usage(t.Context(), 1); err != nil || u != (Usage{}) {
		t.Errorf("usage %+v, %v", u, err)
	}
	g.verify()
}

func TestRemoveAccount(t *testing.T) {
	g := newGround(t)
	g.create(1)
	g.create(2)
	g.fill(1, "INBOX", 1200)
	kept := g.deliver(2, "INBOX", mail("two", "hello"))
	m := g.box(g.account(1), "INBOX")
	g.must(g.Remove(t.Context(), 1))
	if m.Name() != "" {
		t.Errorf("the open mailbox is %q", m.Name())
	}
	if _, err := g.Account(t.Context(), 1); !errors.Is(err, ErrDeleted) {
		t.Errorf("account: %v", err)
	}
	g.must(g.Remove(t.Context(), 1))
	refs := 0
	g.must(g.Refs(t.Context(), func(_ blob.Ref, n int) error { refs += n; return nil }))
	if st, err := g.account(2).Status(t.Context(), "INBOX"); err != nil || st.UIDNext != kept.UID+1 || refs != 1 {
		t.Errorf("the other account: %+v, %v, %d references in all", st, err, refs)
	}
	g.verify()
}

func TestSweepFinishesRemovals(t *testing.T) {
	g := newGround(t)
	g.create(1)
	g.create(2)
	g.fill(1, "big", expungePage+100)
	g.fill(2, "INBOX", 600)
	a := g.account(1)
	ctx, cancel := context.WithCancel(t.Context())
	// the first transaction of a removal, as if the house had died after it
	_, err := a.a.s.update(ctx, 1, func(e *edit) error {
		_, more, err := e.delete("big")
		if !more {
			err = fmt.Errorf("nothing left to do: %w", err)
		}
		return err
	})
	g.must(err)
	cancel()
	if err := g.removeRows(ctx, 2); err == nil {
		t.Error("a removal with a context that is over")
	}
	g.verify()
	g.must(g.Sweep(t.Context()))
	g.verify()
	c, err := a.a.chores(t.Context(), 0)
	if err != nil || len(c.doomed) > 0 {
		t.Errorf("left: %+v, %v", c, err)
	}
}
