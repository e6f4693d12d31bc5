package mailbox

import (
	"context"
	"errors"

	"posthouse/internal/kv"
	"posthouse/internal/space"
)

// Delete removes a mailbox and its messages. A mailbox with children becomes
// \NonExistent; INBOX cannot be deleted (ErrNotAllowed). The name is gone in one
// transaction, the rows of very many messages in several after it.
func (a *Account) Delete(ctx context.Context, name string) error {
	name, err := CleanName(name)
	if err != nil {
		return ErrNoMailbox
	}
	if name == inboxName {
		return ErrNotAllowed
	}
	ctx = space.For(ctx, space.Clearing)
	var id uint32
	var more bool
	modseq, err := a.a.s.update(ctx, a.a.id, func(e *edit) (err error) {
		id, more, err = e.delete(name)
		return err
	})
	if err != nil {
		return err
	}
	err = a.a.changed(ctx, modseq)
	if more && err == nil {
		// what is left here when ctx ends is done by the sweeper
		err = a.a.purge(ctx, id)
	}
	return err
}

func (e *edit) delete(name string) (id uint32, more bool, err error) {
	id, err = lookup(e.tx, e.keys, name)
	if errors.Is(err, ErrNoMailbox) {
		// RFC 9051 section 6.3.5: a name that is only a parent cannot be deleted
		if has, scanErr := e.hasChildren(name); scanErr != nil {
			err = scanErr
		} else if has {
			err = ErrHasChildren
		}
	}
	if err != nil {
		return 0, false, err
	}
	row, err := readBox(e.tx, e.keys, id)
	if err != nil {
		return 0, false, err
	}
	for _, key := range [...]kv.Key{e.keys.name(name), e.keys.box(id), e.keys.keywords(id)} {
		if err := e.tx.Delete(key); err != nil {
			return 0, false, err
		}
	}
	e.head.bytes -= row.size
	e.head.messages -= int64(row.exists)
	e.head.listSeq = e.touch()
	if err := e.tx.Set(e.keys.doomed(id), nil); err != nil {
		return 0, false, err
	}
	more, err = e.purge(id)
	return id, more, err
}

// purge removes one page of the rows of a deleted mailbox, and with the last
// page the note that it is doomed.
func (e *edit) purge(id uint32) (more bool, err error) {
	prefix := e.keys.messages(id)
	var numbers []uint64
	var last uint32
	var bad error
	err = e.tx.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		if len(numbers) == expungePage {
			more = true
			return false
		}
		var m Entry
		if bad = decodeEntry(uidOf(key), value, &m); bad == nil {
			numbers, last = append(numbers, m.Message), m.UID
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return false, err
	}
	for _, n := range numbers {
		if err := e.dropRow(n); err != nil {
			return false, err
		}
	}
	if more {
		return true, e.tx.DeleteRange(prefix, e.keys.message(id, last).End())
	}
	if err := e.tx.DeleteRange(prefix, prefix.End()); err != nil {
		return false, err
	}
	return false, e.tx.Delete(e.keys.doomed(id))
}

// purge removes what is left of a deleted mailbox.
func (a *account) purge(ctx context.Context, id uint32) error {
	for more := true; more; {
		_, err := a.s.update(ctx, a.id, func(e *edit) (err error) {
			more, err = e.purge(id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
