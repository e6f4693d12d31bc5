package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"posthouse/internal/kv"
)

// box is a loaded mailbox.
type box struct {
	a  *account
	id uint32

	refs int       // guarded by account.mu
	idle time.Time // guarded by account.mu: when refs became 0
	pop  bool      // guarded by account.mu: the POP3 lock

	snap    atomic.Pointer[Snapshot] // nil until loaded
	name    atomic.Pointer[string]
	deleted atomic.Bool

	// mu is held by the one goroutine that brings the view up to date.
	mu   sync.Mutex
	seen uint64 // the account's modseq up to which the change log was followed

	watch watchers
}

// Mailbox is one loaded mailbox, shared by all its sessions. Safe for
// concurrent use.
type Mailbox struct {
	b      *box
	closed atomic.Bool
}

// Open loads a mailbox (or shares the loaded one); Close it when done.
func (a *Account) Open(ctx context.Context, name string) (*Mailbox, error) {
	name, err := CleanName(name)
	if err != nil {
		return nil, ErrNoMailbox
	}
	var id uint32
	err = a.a.s.db.View(ctx, func(r kv.Reader) (err error) {
		id, err = lookup(r, a.a.keys, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	m := &Mailbox{b: a.a.box(id)}
	if err := m.b.refresh(ctx, 0); err != nil {
		m.Close()
		if errors.Is(err, ErrDeleted) {
			err = ErrNoMailbox
		}
		return nil, err
	}
	return m, nil
}

// box adds a use of a mailbox, and of its account.
func (a *account) box(id uint32) *box {
	a.retain()
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.boxes[id]
	if b == nil {
		b = &box{a: a, id: id}
		a.boxes[id] = b
	}
	b.refs++
	return b
}

// Close ends the use of a mailbox.
func (m *Mailbox) Close() {
	if m.closed.Swap(true) {
		return
	}
	a := m.b.a
	a.mu.Lock()
	if m.b.refs--; m.b.refs == 0 {
		m.b.idle = a.s.opt.Clock.Now()
		if m.b.deleted.Load() || m.b.snap.Load() == nil {
			delete(a.boxes, m.b.id)
		}
	}
	a.mu.Unlock()
	a.release()
}

// Name is the mailbox's name now; "" after it was deleted.
func (m *Mailbox) Name() string {
	if m.b.deleted.Load() {
		return ""
	}
	return *m.b.name.Load()
}

// ID is the MAILBOXID number.
func (m *Mailbox) ID() uint32 { return m.b.id }

// Snapshot is the latest published state; never nil.
func (m *Mailbox) Snapshot() *Snapshot { return m.b.snap.Load() }

// Changed is a channel that holds a value after a new snapshot was published or
// the mailbox was deleted, and a function that ends the watch.
func (m *Mailbox) Changed() (<-chan struct{}, func()) { return m.b.watch.add() }

// Lock takes the mailbox's exclusive POP3 lock (RFC 1939 section 3); ok is false
// when another session has it.
func (m *Mailbox) Lock() (unlock func(), ok bool) {
	b := m.b
	if !b.lock() {
		return nil, false
	}
	b.a.retain()
	return sync.OnceFunc(func() {
		b.a.mu.Lock()
		b.pop = false
		if b.refs--; b.refs == 0 {
			b.idle = b.a.s.opt.Clock.Now()
		}
		b.a.mu.Unlock()
		b.a.release()
	}), true
}

func (b *box) lock() bool {
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	if b.pop {
		return false
	}
	b.pop = true
	b.refs++ // the box stays loaded, so that there is one lock only
	return true
}

// Expunged are the UIDs expunged after modseq since, for QRESYNC; ok is false
// when the log does not reach back that far.
func (m *Mailbox) Expunged(ctx context.Context, since uint64) (uids UIDSet, ok bool, err error) {
	err = m.b.a.s.db.View(ctx, func(r kv.Reader) error {
		h, err := readHead(r, m.b.a.keys)
		if err != nil || since < h.logFloor {
			return err
		}
		ok = true
		return readChanges(r, m.b.a.keys, since, m.b.id, func(c change) {
			if c.kind == changeExpunged {
				uids = append(uids, c.uids...)
			}
		})
	})
	if err != nil || !ok {
		return nil, false, err
	}
	return uids.Sorted(), true, m.b.a.s.db.Sync(ctx)
}
