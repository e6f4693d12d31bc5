package mailbox

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/kv"
	"posthouse/internal/space"
)

// expungePage is the most messages that one transaction removes: some 700 KB.
const expungePage = 5_000

// Expunge removes messages: those of uids, or all of them when uids is nil, that
// carry \Deleted; with force the flag is not asked for. It returns the UIDs removed. When it returns,
// Snapshot shows the change.
func (m *Mailbox) Expunge(ctx context.Context, uids UIDSet, force bool) (UIDSet, error) {
	ctx = space.For(ctx, space.Clearing)
	list := m.Snapshot().expungeable(uids, force)
	var gone UIDSet
	var last uint64
	var err error
	for len(list) > 0 && err == nil {
		n := min(expungePage, len(list))
		var page UIDSet
		var modseq uint64
		page, modseq, err = m.b.expunge(ctx, list[:n], force)
		if err == nil {
			gone = append(gone, page...)
			last = max(last, modseq)
		}
		list = list[n:]
	}
	if shown := m.b.a.changed(ctx, last); err == nil {
		err = shown
	}
	return gone.Sorted(), err
}

// expungeable are the UIDs that an Expunge may remove.
func (s *Snapshot) expungeable(set UIDSet, force bool) []uint32 {
	if set == nil {
		set = UIDSet{{1, 1<<32 - 1}}
	}
	uids := s.uidsIn(set)
	if force {
		return uids
	}
	var out []uint32
	for _, uid := range uids {
		if i, ok := s.Index(uid); ok && s.at(i).Flags&Deleted != 0 {
			out = append(out, uid)
		}
	}
	return out
}

func (b *box) expunge(ctx context.Context, uids []uint32, force bool) (gone UIDSet, modseq uint64, err error) {
	modseq, err = b.a.s.update(ctx, b.a.id, func(e *edit) error {
		gone = nil
		box, err := e.box(b.id)
		if err != nil {
			return err
		}
		entries, err := readEntries(e.tx, e.keys, b.id, uids)
		if err != nil {
			return err
		}
		for _, m := range entries {
			if !force && m.Flags&Deleted == 0 {
				continue // the flag was taken away meanwhile
			}
			if err := box.expunge(m); err != nil {
				return err
			}
			gone = gone.Add(m.UID)
		}
		return nil
	})
	return gone, modseq, err
}

// expunge removes a message's row and, with its last row in the account, lets
// its body wait to be dropped.
func (b *boxEdit) expunge(m Entry) error {
	if err := b.take(m); err != nil {
		return err
	}
	return b.e.dropRow(m.Message)
}

// dropRow counts one row less that uses message n.
func (e *edit) dropRow(n uint64) error {
	row, err := e.body(n)
	if err != nil {
		return err
	}
	if row.rows == 0 {
		return fmt.Errorf("%w: message %d has no rows left", errRow, n)
	}
	if row.rows--; row.rows == 0 {
		row.hour = hourOf(e.now)
		if err := e.tx.Set(e.keys.expunged(row.hour, n), nil); err != nil {
			return err
		}
	}
	return e.tx.Set(e.keys.body(n), row.encode())
}

// body reads where message n is.
func (e *edit) body(n uint64) (bodyRow, error) {
	b, err := e.tx.Get(e.keys.body(n))
	if errors.Is(err, kv.ErrNotFound) {
		return bodyRow{}, fmt.Errorf("%w: message %d has no body row", errRow, n)
	}
	if err != nil {
		return bodyRow{}, err
	}
	return decodeBody(b)
}
