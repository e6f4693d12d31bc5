package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/space"
)

const (
	sweepFirst = time.Minute // after Open
	sweepEvery = time.Hour
	lookEvery  = 5 * time.Second // whether the disk is full
	dropPage   = 400             // bodies dropped by one transaction, which writes in most shards of the counts
)

// hourOf is the bucket of time that expunged messages wait in.
func hourOf(t time.Time) uint32 { return uint32(t.Unix() / 3600) }

// sweeper runs Sweep now and then, and while the disk is full at every look:
// expunged messages give way to new mail before their time, those gone longest
// first.
func (s *Store) sweeper(ctx context.Context) {
	due, haste := s.opt.Clock.Now().Add(sweepFirst), 0
	for {
		t := s.opt.Clock.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case now := <-t.C():
			full := s.opt.Space.Low() != nil
			if haste++; !full {
				haste = 0
			}
			if !full && now.Before(due) {
				continue
			}
			due = now.Add(sweepEvery)
			// what could not be done now is found again next time
			_ = s.sweepAll(ctx, haste)
		}
	}
}

// Sweep drops expunged bodies whose time to be recovered is over, and finishes
// what a crash broke off: removals of mailboxes and accounts, and copies, which
// it undoes. A fault in one account does not keep it from the others; it answers the first.
func (s *Store) Sweep(ctx context.Context) error { return s.sweepAll(ctx, 0) }

// sweepAll is Sweep with the time to be recovered halved so often.
func (s *Store) sweepAll(ctx context.Context, haste int) error {
	ctx = space.For(ctx, space.Clearing)
	var first error
	err := s.Accounts(ctx, func(acct id.Account) bool {
		if err := s.sweep(ctx, acct, haste); err != nil && first == nil {
			first = err
		}
		return ctx.Err() == nil
	})
	return errors.Join(err, first)
}

// Accounts calls fn for every account that has rows, in order of their numbers,
// until it returns false. No View is open while fn runs.
func (s *Store) Accounts(ctx context.Context, fn func(id.Account) bool) error {
	const page = 256
	for next := uint64(0); ; {
		var found []uint64
		err := s.db.View(ctx, func(r kv.Reader) error {
			found = found[:0]
			for len(found) < page {
				acct, ok, err := nextAccount(r, next)
				if err != nil {
					return err
				}
				if !ok {
					return nil
				}
				found, next = append(found, acct), acct+1
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, acct := range found {
			if !fn(id.Account(acct)) {
				return nil
			}
		}
		if len(found) < page {
			return nil
		}
	}
}

// nextAccount finds the first account from number n on that has rows.
func nextAccount(r kv.Reader, n uint64) (acct uint64, ok bool, err error) {
	from := kv.NewKey(kv.AccountPartition(n))
	last := kv.NewKey(kv.AccountPartition(1<<64 - 1))
	err = r.Scan(from, last.End(), func(key, _ []byte) bool {
		if len(key) >= len(from) {
			acct, ok = binary.BigEndian.Uint64(key[1:]), true
		}
		return false
	})
	return acct, ok, err
}

// chores are what the sweeper finds to do in an account.
type chores struct {
	doomed []uint32
	undo   map[uint32]UIDRange // by mailbox, one at a time
	due    []uint64            // messages to be dropped
	hours  []uint32            // of due
	more   bool
}

func (s *Store) sweep(ctx context.Context, acct id.Account, haste int) error {
	a := s.acquire(acct)
	defer a.release()
	for {
		c, err := a.chores(ctx, haste)
		if err != nil {
			return err
		}
		for _, id := range c.doomed {
			if id == wholeAccount {
				return s.removeRows(ctx, acct)
			}
			if err := a.purge(ctx, id); err != nil {
				return err
			}
		}
		for id, page := range c.undo {
			modseq, err := a.undoPage(ctx, id, page)
			if err == nil {
				err = a.changed(ctx, modseq)
			}
			if err != nil {
				return err
			}
		}
		if len(c.due) > 0 {
			if err := a.drop(ctx, c); err != nil {
				return err
			}
		}
		if !c.more {
			return nil
		}
	}
}

func (a *account) chores(ctx context.Context, haste int) (c chores, err error) {
	now := a.s.opt.Clock.Now()
	kept := a.s.opt.Recoverable >> haste
	// a message of hour h was expunged before (h+1)*3600
	cutoff := int64(hourOf(now.Add(-kept))) - 1
	if kept < 0 || haste > 0 && kept < time.Hour {
		cutoff = int64(hourOf(now))
	}
	err = a.s.db.View(ctx, func(r kv.Reader) error {
		c = chores{undo: make(map[uint32]UIDRange)}
		return c.read(r, a.keys, cutoff, int64(hourOf(now))-undoAfter-1)
	})
	return c, err
}

func (c *chores) read(r kv.Reader, k keyspace, cutoff, broken int64) error {
	doomed, undo, gone := k.kind(kindDoomed), k.kind(kindUndo), k.kind(kindExpunged)
	err := r.Scan(doomed, doomed.End(), func(key, _ []byte) bool {
		c.doomed = append(c.doomed, k.tail32(key))
		return true
	})
	if err != nil {
		return err
	}
	err = r.Scan(undo, undo.End(), func(key, value []byte) bool {
		row := newRowReader(value)
		page := UIDRange{First: uidOf(key), Last: uint32(row.Uvarint())}
		if hour := int64(row.Uvarint()); !row.Bad() && hour <= broken {
			c.more = c.more || len(c.undo) > 0
			c.undo[k.tail32(key)] = page
		}
		return true
	})
	if err != nil || cutoff < 0 {
		return err
	}
	return r.Scan(gone, k.expunged(uint32(cutoff)+1, 0), func(key, _ []byte) bool {
		if len(c.due) == dropPage {
			c.more = true
			return false
		}
		tail := k.tail(key)
		c.hours = append(c.hours, binary.BigEndian.Uint32(tail))
		c.due = append(c.due, binary.BigEndian.Uint64(tail[4:]))
		return true
	})
}

// drop ends the messages that are due.
func (a *account) drop(ctx context.Context, c chores) error {
	parts, err := a.bodyPartitions(ctx, c.due)
	if err != nil {
		return err
	}
	var last []blob.Ref
	_, err = a.s.update(ctx, a.id, func(e *edit) error {
		last = last[:0]
		for _, n := range c.due {
			ref, free, err := e.drop(a.s.counts, n)
			if err != nil {
				return err
			}
			if free {
				last = append(last, ref)
			}
		}
		first := e.keys.expunged(c.hours[0], c.due[0])
		end := e.keys.expunged(c.hours[len(c.hours)-1], c.due[len(c.due)-1]).End()
		return e.tx.DeleteRange(first, end)
	}, parts...)
	if err != nil {
		return err
	}
	return a.s.releaseAll(last)
}

// drop removes what is kept of message n, unless it is used again or gone.
func (e *edit) drop(counts *refs.Counter, n uint64) (ref blob.Ref, free bool, err error) {
	b, err := e.tx.Get(e.keys.body(n))
	if errors.Is(err, kv.ErrNotFound) {
		return ref, false, nil
	}
	if err != nil {
		return ref, false, err
	}
	row, err := decodeBody(b)
	if err != nil || row.rows > 0 {
		return ref, false, err
	}
	if b, err := e.tx.Get(e.keys.summary(n)); err == nil {
		if sum, err := decodeSummary(b); err == nil {
			if err := e.forgetThread(n, sum); err != nil {
				return ref, false, err
			}
		}
	}
	if err := e.tx.Delete(e.keys.summary(n)); err != nil {
		return ref, false, err
	}
	if err := e.tx.Delete(e.keys.body(n)); err != nil {
		return ref, false, err
	}
	free, err = counts.DropTx(e.tx, row.ref, 1)
	return row.ref, free, err
}

// bodyPartitions are where the bodies of messages are counted.
func (a *account) bodyPartitions(ctx context.Context, numbers []uint64) (parts kv.Partitions, err error) {
	err = a.s.db.View(ctx, func(r kv.Reader) error {
		parts = parts[:0]
		for _, n := range numbers {
			b, err := r.Get(a.keys.body(n))
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			row, err := decodeBody(b)
			if err != nil {
				return err
			}
			parts = append(parts, refs.Partition(row.ref))
		}
		return nil
	})
	return parts.Sorted(), err
}

func (s *Store) releaseAll(list []blob.Ref) error {
	var first error
	for _, ref := range list {
		if err := s.counts.Release(ref); err != nil && first == nil {
			first = err
		}
	}
	return first
}
