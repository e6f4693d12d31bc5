package mailbox

import (
	"context"
	"errors"
	"slices"
)

// specialUses are those that a mailbox can have here (RFC 6154 section 2);
// \All and \Flagged would be views of messages elsewhere.
var specialUses = []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}

// Create makes a mailbox and its missing parents; specialUse may be "". A
// special use that is unknown, or that another mailbox has, answers ErrNotAllowed.
func (a *Account) Create(ctx context.Context, name, specialUse string) (Info, error) {
	name, err := cleanNewName(name)
	if err != nil {
		return Info{}, err
	}
	if specialUse != "" && !slices.Contains(specialUses, specialUse) {
		return Info{}, ErrNotAllowed
	}
	var info Info
	modseq, err := a.a.s.update(ctx, a.a.id, func(e *edit) error {
		if _, err := lookup(e.tx, e.keys, name); !errors.Is(err, ErrNoMailbox) {
			if err == nil {
				err = ErrExists
			}
			return err
		}
		if err := e.checkUse(specialUse); err != nil {
			return err
		}
		box, err := e.createWithParents(name, specialUse)
		if err != nil {
			return err
		}
		info = Info{Name: name, ID: box.id, Exists: true, SpecialUse: specialUse}
		_, err = e.tx.Get(e.keys.subscribed(name))
		info.Subscribed = err == nil
		info.Children, err = e.hasChildren(name)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, a.a.changed(ctx, modseq)
}

// checkUse allows one mailbox for each special use.
func (e *edit) checkUse(use string) error {
	if use == "" {
		return nil
	}
	var bad error
	names := e.keys.kind(kindName)
	err := e.tx.Scan(names, names.End(), func(_, value []byte) bool {
		row, err := decodeName(value)
		if bad = err; bad == nil && row.specialUse == use {
			bad = ErrNotAllowed
		}
		return bad == nil
	})
	if err != nil {
		return err
	}
	return bad
}

func (e *edit) hasChildren(name string) (found bool, err error) {
	prefix := e.keys.childrenOf(name)
	err = e.tx.Scan(prefix, prefix.End(), func(_, _ []byte) bool {
		found = true
		return false
	})
	return found, err
}

// createWithParents makes a mailbox that is not there, and what is missing above
// it (RFC 9051 section 6.3.4).
func (e *edit) createWithParents(name, use string) (*boxEdit, error) {
	for _, p := range parents(name) {
		_, err := lookup(e.tx, e.keys, p)
		if errors.Is(err, ErrNoMailbox) {
			_, err = e.create(p, "")
		}
		if err != nil {
			return nil, err
		}
	}
	return e.create(name, use)
}

// create makes one mailbox. Its UIDVALIDITY is above any that the account ever
// gave: from the clock, or by counting when that stands still.
func (e *edit) create(name, use string) (*boxEdit, error) {
	id := e.head.nextBox
	e.head.nextBox++
	e.head.uidValidity = max(e.head.uidValidity+1, e.epoch)
	b := &boxEdit{e: e, id: id, row: boxRow{
		name: name, specialUse: use, uidValidity: e.head.uidValidity, uidNext: 1,
	}}
	e.boxes = append(e.boxes, b)
	e.head.listSeq = b.touch()
	row := nameRow{id: id, specialUse: use}
	return b, e.tx.Set(e.keys.name(name), row.encode())
}
