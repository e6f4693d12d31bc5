package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// account is a loaded account, shared by the sessions that use it.
type account struct {
	s    *Store
	id   id.Account
	keys keyspace

	refs   int       // guarded by Store.mu: Accounts and Mailboxes in use
	idle   time.Time // guarded by Store.mu: when refs became 0
	queued bool      // guarded by the publishQueue's lock

	mu      sync.Mutex
	boxes   map[uint32]*box
	listSeq uint64 // of the latest list of mailboxes that watchers know of

	list watchers
}

// Account is one account's mailboxes. Safe for concurrent use.
type Account struct {
	a        *account
	released atomic.Bool
}

// Account opens an account's mailboxes; Release it when done. Accounts stay
// loaded for a while after their last release. An account that has no mailboxes
// answers ErrDeleted.
func (s *Store) Account(ctx context.Context, acct id.Account) (*Account, error) {
	a := s.acquire(acct)
	var h head
	err := s.db.View(ctx, func(r kv.Reader) (err error) {
		h, err = readHead(r, a.keys)
		return err
	})
	if err != nil {
		a.release()
		return nil, err
	}
	a.mu.Lock()
	if a.listSeq == 0 {
		a.listSeq = h.listSeq
	}
	a.mu.Unlock()
	return &Account{a: a}, nil
}

// Release ends the use of an account.
func (a *Account) Release() {
	if !a.released.Swap(true) {
		a.a.release()
	}
}

func (s *Store) acquire(acct id.Account) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[acct]
	if a == nil {
		a = &account{s: s, id: acct, keys: keysOf(acct), boxes: make(map[uint32]*box)}
		s.accounts[acct] = a
	}
	a.refs++
	return a
}

// retain adds a use; the caller has one.
func (a *account) retain() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.refs++
}

func (a *account) release() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.refs--; a.refs == 0 {
		a.idle = a.s.opt.Clock.Now()
	}
}

// loaded is the account if it is loaded; nil otherwise.
func (s *Store) loaded(acct id.Account) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[acct]
}

// open are the boxes that sessions use.
func (a *account) open() []*box {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*box
	for _, b := range a.boxes {
		if b.refs > 0 {
			out = append(out, b)
		}
	}
	return out
}

// refresh brings what sessions see of the account up to date. What was written
// up to modseq durable is known to be on disk.
func (a *account) refresh(ctx context.Context, durable uint64) error {
	var first error
	for _, b := range a.open() {
		if err := b.refresh(ctx, durable); err != nil && !errors.Is(err, ErrDeleted) && first == nil {
			first = err
		}
	}
	if err := a.refreshList(ctx, durable); err != nil && first == nil {
		first = err
	}
	return first
}

// refreshList wakes those who watch the list of mailboxes if it changed.
func (a *account) refreshList(ctx context.Context, durable uint64) error {
	if !a.list.any() {
		return nil
	}
	var h head
	err := a.s.db.View(ctx, func(r kv.Reader) (err error) {
		h, err = readHead(r, a.keys)
		return err
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	news := h.listSeq > a.listSeq
	a.mu.Unlock()
	if !news {
		return nil
	}
	if h.listSeq > durable {
		if err := a.s.db.Sync(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.listSeq = max(a.listSeq, h.listSeq)
	a.mu.Unlock()
	a.list.wake()
	return nil
}

// changed shows the sessions of the account a change made here that is durable.
// The change stands, whatever becomes of ctx.
func (a *account) changed(ctx context.Context, modseq uint64) error {
	if modseq == 0 {
		return nil
	}
	return a.refresh(context.WithoutCancel(ctx), modseq)
}

// MailboxesChanged is a channel that holds a value after the list of mailboxes
// or subscriptions changed, and a function that ends the watch.
func (a *Account) MailboxesChanged() (<-chan struct{}, func()) { return a.a.list.add() }

// How long accounts and mailboxes stay in memory without a session, and how many
// messages may in all.
const (
	idleTime    = time.Minute
	janitorTime = 20 * time.Second
	idleEntries = 1_000_000
)

// janitor unloads what nobody uses.
func (s *Store) janitor(ctx context.Context) {
	for {
		t := s.opt.Clock.NewTimer(janitorTime)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C():
			s.tidy(s.opt.Clock.Now())
		}
	}
}

func (s *Store) tidy(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := idleEntries
	for key, a := range s.accounts {
		if a.refs == 0 && now.Sub(a.idle) >= idleTime {
			delete(s.accounts, key)
			continue
		}
		room = a.tidy(now, room)
	}
}

// tidy unloads boxes; room is how many idle messages may stay.
func (a *account) tidy(now time.Time, room int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, b := range a.boxes {
		if b.refs > 0 {
			continue
		}
		n := 0
		if snap := b.snap.Load(); snap != nil {
			n = snap.Len()
		}
		if now.Sub(b.idle) >= idleTime || n > room {
			delete(a.boxes, key)
			continue
		}
		room -= n
	}
	return room
}
