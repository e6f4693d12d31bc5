package mailbox

import (
	"context"
	"errors"
	"sync"
	"testing"

	"posthouse/internal/id"
)

// TestConcurrent lets deliveries, sessions that change things and sessions that
// only look work on one mailbox; every view must be consistent and none go back.
func TestConcurrent(t *testing.T) {
	const rounds = 60
	g := newGround(t)
	g.create(1)
	ctx := t.Context()
	var workers, viewers sync.WaitGroup
	done := make(chan struct{})
	report := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	session := func(fn func(m *Mailbox, i int) error) {
		workers.Go(func() {
			a, err := g.Account(ctx, 1)
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Release()
			for i := range rounds {
				m, err := a.Open(ctx, "INBOX")
				if err != nil {
					t.Error(err)
					return
				}
				report(fn(m, i))
				m.Close()
			}
		})
	}
	for range 3 {
		workers.Go(func() {
			for range rounds {
				_, err := deliver(ctx, g.Store, g.db, g.refs, 1, "INBOX", mail("one", "hello"))
				report(err)
			}
		})
	}
	for k := range 2 {
		session(func(m *Mailbox, i int) error {
			res, err := m.StoreFlags(ctx, StoreRequest{UIDs: everything, Op: FlagOp(1 + (i+k)%2), Flags: Seen, Keywords: []string{"x"}})
			if err == nil && m.Snapshot().Status().HighestModSeq < res.ModSeq {
				err = errors.New("a view does not show its own change")
			}
			return err
		})
	}
	session(func(m *Mailbox, i int) error {
		_, err := m.Expunge(ctx, UIDSet{{uint32(i), uint32(i)}}, true)
		return err
	})
	session(func(m *Mailbox, i int) error {
		_, err := m.Move(ctx, UIDSet{{uint32(2 * i), uint32(2 * i)}}, "INBOX")
		return err
	})
	for range 3 {
		viewers.Go(func() { report(watchView(g, done)) })
	}
	workers.Wait()
	close(done)
	viewers.Wait()
	g.verify()
}

// watchView follows a mailbox until done, and checks each view against the one before.
func watchView(g *ground, done chan struct{}) error {
	ctx := context.Background()
	a, err := g.Account(ctx, 1)
	if err != nil {
		return err
	}
	defer a.Release()
	m, err := a.Open(ctx, "INBOX")
	if err != nil {
		return err
	}
	defer m.Close()
	changed, stop := m.Changed()
	defer stop()
	old := m.Snapshot()
	for {
		select {
		case <-changed:
		case <-done:
			return nil
		}
		s := m.Snapshot()
		if err := consistent(s, old); err != nil {
			return err
		}
		old = s
	}
}

func consistent(s, old *Snapshot) error {
	st, was := s.Status(), old.Status()
	if st.UIDNext < was.UIDNext || st.HighestModSeq < was.HighestModSeq {
		return errors.New("a view went back")
	}
	expunged, _, firstNew := s.Diff(old)
	if old.Len()-len(expunged) != firstNew {
		return errors.New("a diff does not add up")
	}
	var sum boxRow
	last := uint32(0)
	for _, e := range s.Range(0, s.Len()) {
		sum.count(e, 1)
		if e.UID <= last || e.UID >= st.UIDNext || e.ModSeq > st.HighestModSeq {
			return errors.New("an entry is out of order")
		}
		last = e.UID
	}
	if sum.exists != st.Messages || sum.unseen != st.Unseen || sum.size != st.Size || int(sum.exists) != s.Len() {
		return errors.New("the counters are not those of the entries")
	}
	return nil
}

// TestConcurrentAccounts opens and leaves many accounts while mail comes in.
func TestConcurrentAccounts(t *testing.T) {
	g := newGround(t)
	const accounts = 8
	for acct := id.Account(1); acct <= accounts; acct++ {
		g.create(acct)
	}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range 40 {
				acct := id.Account(1 + (i+k)%accounts)
				if k%2 == 0 {
					_, err := deliver(t.Context(), g.Store, g.db, g.refs, acct, "INBOX", mail("one", "hello"))
					if err != nil {
						t.Error(err)
					}
					continue
				}
				a, err := g.Account(t.Context(), acct)
				if err != nil {
					t.Error(err)
					continue
				}
				m, err := a.Open(t.Context(), "INBOX")
				if err != nil {
					t.Error(err)
				} else {
					m.Close()
				}
				a.Release()
				g.tidy(g.clock.Now().Add(2 * idleTime))
			}
		})
	}
	wg.Wait()
	g.verify()
}
