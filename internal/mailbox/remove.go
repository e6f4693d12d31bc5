package mailbox

import (
	"context"
	"errors"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// wholeAccount stands in a doomed row for all that an account has.
const wholeAccount = 0

// Remove deletes everything an account has and releases its bodies; sessions
// that are open on it get ErrDeleted. Expunged messages do not stay recoverable.
// The mailboxes are gone in one transaction; what is left of bodies after a crash
// is found by the sweeper. An account without mailboxes is no error.
func (s *Store) Remove(ctx context.Context, acct id.Account) error {
	k := keysOf(acct)
	err := s.db.Update(ctx, kv.Partitions{k.part}, func(tx kv.Tx) error {
		if _, err := tx.Get(k.head()); errors.Is(err, kv.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		// all kinds but that of bodies; the note goes where kindDoomed was
		if err := tx.DeleteRange(k.kind(kindChange), kv.NewKey(k.part).End()); err != nil {
			return err
		}
		return tx.Set(k.doomed(wholeAccount), nil)
	})
	if err != nil {
		return err
	}
	if a := s.loaded(acct); a != nil {
		if err := a.refresh(context.WithoutCancel(ctx), 0); err != nil && !errors.Is(err, ErrDeleted) {
			return err
		}
	}
	return s.removeRows(ctx, acct)
}

// removeRows drops the bodies of an account that is gone, page by page, and then
// the rest.
func (s *Store) removeRows(ctx context.Context, acct id.Account) error {
	k := keysOf(acct)
	for {
		numbers, list, err := s.bodyRows(ctx, k, dropPage)
		if err != nil {
			return err
		}
		if err := s.removePage(ctx, k, numbers, list); err != nil {
			return err
		}
		if len(numbers) < dropPage {
			break
		}
	}
	return s.db.Update(ctx, kv.Partitions{k.part}, func(tx kv.Tx) error {
		if _, err := tx.Get(k.head()); !errors.Is(err, kv.ErrNotFound) {
			return err // the account was made again meanwhile
		}
		return tx.DeleteRange(kv.NewKey(k.part), kv.NewKey(k.part).End())
	})
}

// bodyRows reads the first n bodies of an account.
func (s *Store) bodyRows(ctx context.Context, k keyspace, n int) (numbers []uint64, list []blob.Ref, err error) {
	err = s.db.View(ctx, func(r kv.Reader) error {
		numbers, list = nil, nil
		var bad error
		prefix := k.kind(kindBody)
		err := r.Scan(prefix, prefix.End(), func(key, value []byte) bool {
			var row bodyRow
			if row, bad = decodeBody(value); bad != nil {
				return false
			}
			numbers, list = append(numbers, k.tail64(key)), append(list, row.ref)
			return len(numbers) < n
		})
		return errors.Join(err, bad)
	})
	return numbers, list, err
}

func (s *Store) removePage(ctx context.Context, k keyspace, numbers []uint64, list []blob.Ref) error {
	parts := kv.Partitions{k.part}
	for _, ref := range list {
		parts = append(parts, refs.Partition(ref))
	}
	var last []blob.Ref
	err := s.db.Update(ctx, parts.Sorted(), func(tx kv.Tx) error {
		last = last[:0]
		for i, n := range numbers {
			if _, err := tx.Get(k.body(n)); errors.Is(err, kv.ErrNotFound) {
				continue // another remover was here
			} else if err != nil {
				return err
			}
			free, err := s.counts.DropTx(tx, list[i], 1)
			if err != nil {
				return err
			}
			if free {
				last = append(last, list[i])
			}
			if err := tx.Delete(k.body(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.releaseAll(last)
}
