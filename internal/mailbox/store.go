package mailbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

const (
	defaultRecoverable = 14 * 24 * time.Hour
	defaultMaxMessage  = 50 << 20
	publishers         = 4 // goroutines that bring views up to date after deliveries
)

// Store is the mailboxes of all accounts. Safe for concurrent use.
type Store struct {
	db     kv.Store
	bodies blob.Store
	counts *refs.Counter
	opt    Options

	copyPage int // the constant, but for tests

	mu       sync.Mutex
	accounts map[id.Account]*account

	queue publishQueue
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// Open makes a Store over its ground. It starts the goroutine that drops
// recoverable bodies whose time is over; Close stops it.
func Open(db kv.Store, bodies blob.Store, counts *refs.Counter, opt Options) (*Store, error) {
	if db == nil || bodies == nil || counts == nil {
		return nil, errors.New("mailbox: Open without its ground")
	}
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	if opt.Recoverable == 0 {
		opt.Recoverable = defaultRecoverable
	}
	if opt.MaxMessageSize <= 0 {
		opt.MaxMessageSize = defaultMaxMessage
	}
	s := &Store{db: db, bodies: bodies, counts: counts, opt: opt, copyPage: copyPage, accounts: make(map[id.Account]*account)}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.queue.init()
	for range publishers {
		s.wg.Go(func() { s.publishLoop(ctx) })
	}
	s.wg.Go(func() { s.janitor(ctx) })
	s.wg.Go(func() { s.sweeper(ctx) })
	return s, nil
}

// Close stops background work. It does not close the ground.
func (s *Store) Close() error {
	s.stop()
	s.queue.close()
	s.wg.Wait()
	return nil
}

// quota is the account's limit, 0 for none. It is asked before a transaction
// begins: it may read the store itself.
func (s *Store) quota(ctx context.Context, acct id.Account) (int64, error) {
	if s.opt.Quota == nil {
		return 0, nil
	}
	return s.opt.Quota(ctx, acct)
}

// Usage reads an account's usage.
func (s *Store) Usage(ctx context.Context, acct id.Account) (Usage, error) {
	var u Usage
	err := s.db.View(ctx, func(r kv.Reader) error {
		h, err := readHead(r, keysOf(acct))
		u = Usage{Bytes: h.bytes, Messages: h.messages}
		return err
	})
	return u, err
}

// update is an Update of the account's partition and others.
func (s *Store) update(ctx context.Context, acct id.Account, fn func(*edit) error, others ...kv.Partition) (modseq uint64, err error) {
	parts := append(kv.Partitions{kv.AccountPartition(uint64(acct))}, others...)
	err = s.db.Update(ctx, parts, func(tx kv.Tx) error {
		e, err := s.begin(tx, acct)
		if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
		modseq = e.modseq
		return e.finish()
	})
	if err != nil {
		return 0, err
	}
	return modseq, nil
}
