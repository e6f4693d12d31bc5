package mailbox

import (
	"context"
	"errors"
	"strings"

	"posthouse/internal/kv"
)

// Rename renames a mailbox with its children; renaming INBOX moves its messages
// to a new mailbox (RFC 9051 section 6.3.6). A name that exists only as a parent
// is renamed by renaming its children.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, err := CleanName(from)
	if err != nil {
		return ErrNoMailbox
	}
	to, err = cleanNewName(to)
	if err != nil {
		return err
	}
	switch {
	case from == inboxName && to != inboxName:
		return a.renameInbox(ctx, to)
	case isBelow(to, from):
		return ErrNotAllowed
	}
	modseq, err := a.a.s.update(ctx, a.a.id, func(e *edit) error { return e.rename(from, to) })
	if err != nil {
		return err
	}
	return a.a.changed(ctx, modseq)
}

func (e *edit) rename(from, to string) error {
	list, err := e.family(from)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return ErrNoMailbox
	}
	if err := e.mustNotExist(to); err != nil {
		return err
	}
	for _, p := range parents(to) {
		if err := e.mustNotExist(p); errors.Is(err, ErrExists) {
			continue
		} else if err != nil {
			return err
		}
		if _, err := e.create(p, ""); err != nil {
			return err
		}
	}
	for _, old := range list {
		name, err := CleanName(to + strings.TrimPrefix(old.name, from))
		if err != nil {
			return err
		}
		if err := e.renameOne(old, name); err != nil {
			return err
		}
	}
	e.head.listSeq = e.touch()
	return nil
}

// named is a row of the name index.
type named struct {
	name string
	nameRow
}

// family is a mailbox, if it exists, and its children.
func (e *edit) family(name string) ([]named, error) {
	var out []named
	row, err := readName(e.tx, e.keys, name)
	if err == nil {
		out = append(out, named{name, row})
	} else if !errors.Is(err, ErrNoMailbox) {
		return nil, err
	}
	var bad error
	prefix := e.keys.childrenOf(name)
	err = e.tx.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		child, _, ok := kv.CutString(e.keys.tail(key))
		row, err := decodeName(value)
		if bad = err; bad == nil && ok {
			out = append(out, named{child, row})
		}
		return bad == nil
	})
	if err != nil {
		return nil, err
	}
	return out, bad
}

func (e *edit) mustNotExist(name string) error {
	_, err := lookup(e.tx, e.keys, name)
	if err == nil {
		return ErrExists
	}
	if errors.Is(err, ErrNoMailbox) {
		return nil
	}
	return err
}

func (e *edit) renameOne(old named, name string) error {
	if err := e.mustNotExist(name); err != nil {
		return err
	}
	box, err := e.box(old.id)
	if err != nil {
		return err
	}
	box.row.name = name
	box.dirty = true // its messages stay as they are: so does its modseq
	if err := e.tx.Delete(e.keys.name(old.name)); err != nil {
		return err
	}
	return e.tx.Set(e.keys.name(name), old.encode())
}

// renameInbox makes the new mailbox with the first page of messages, and moves
// the rest page by page. Children of INBOX stay where they are.
func (a *Account) renameInbox(ctx context.Context, to string) error {
	t := &transfer{src: inboxID, dest: to, move: true}
	var last uint64
	for first := true; ; first = false {
		n := 0
		modseq, err := a.a.s.update(ctx, a.a.id, func(e *edit) error {
			if first {
				if err := e.mustNotExist(to); err != nil {
					return err
				}
				if _, err := e.createWithParents(to, ""); err != nil {
					return err
				}
			}
			uids, err := firstUIDs(e.tx, e.keys, inboxID, a.a.s.copyPage)
			if n = len(uids); err != nil {
				return err
			}
			_, _, err = e.transfer(t, uids, true)
			return err
		})
		if err != nil {
			return errors.Join(err, a.a.changed(ctx, last))
		}
		last = max(last, modseq)
		if n < a.a.s.copyPage {
			return a.a.changed(ctx, last)
		}
	}
}

// firstUIDs are at most n UIDs of a mailbox, the lowest.
func firstUIDs(r kv.Reader, k keyspace, box uint32, n int) (uids []uint32, err error) {
	prefix := k.messages(box)
	err = r.Scan(prefix, prefix.End(), func(key, _ []byte) bool {
		uids = append(uids, uidOf(key))
		return len(uids) < n
	})
	return uids, err
}
