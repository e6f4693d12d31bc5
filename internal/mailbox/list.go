package mailbox

import (
	"context"
	"errors"
	"slices"

	"posthouse/internal/kv"
)

// Mailboxes lists existing mailboxes and subscribed names in order, INBOX
// first, parents before children.
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error) {
	var list nameList
	err := a.a.s.db.View(ctx, func(r kv.Reader) error {
		list = nameList{byName: make(map[string]*Info)}
		return list.read(r, a.a.keys)
	})
	if err != nil {
		return nil, err
	}
	return list.infos(), a.a.s.db.Sync(ctx)
}

type nameList struct{ byName map[string]*Info }

func (l *nameList) get(name string) *Info {
	i := l.byName[name]
	if i == nil {
		i = &Info{Name: name}
		l.byName[name] = i
	}
	return i
}

func (l *nameList) read(r kv.Reader, k keyspace) error {
	var bad error
	names := k.kind(kindName)
	err := r.Scan(names, names.End(), func(key, value []byte) bool {
		name, _, ok := kv.CutString(k.tail(key))
		row, err := decodeName(value)
		if bad = err; bad != nil || !ok {
			return bad == nil
		}
		i := l.get(name)
		i.ID, i.Exists, i.SpecialUse = row.id, true, row.specialUse
		return true
	})
	if err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	subs := k.kind(kindSubscribe)
	return r.Scan(subs, subs.End(), func(key, _ []byte) bool {
		if name, _, ok := kv.CutString(k.tail(key)); ok {
			l.get(name).Subscribed = true
		}
		return true
	})
}

// infos adds the parents that only exist through their children, and sorts.
func (l *nameList) infos() []Info {
	var existing []string
	for name, i := range l.byName {
		if i.Exists {
			existing = append(existing, name)
		}
	}
	for _, name := range existing {
		for _, p := range parents(name) {
			l.get(p).Children = true
		}
	}
	out := make([]Info, 0, len(l.byName))
	for _, i := range l.byName {
		out = append(out, *i)
	}
	sortInfos(out)
	return slices.Clip(out)
}

// Status reads the counters of a mailbox without loading its messages.
func (a *Account) Status(ctx context.Context, name string) (Status, error) {
	name, err := CleanName(name)
	if err != nil {
		return Status{}, ErrNoMailbox
	}
	var st Status
	err = a.a.s.db.View(ctx, func(r kv.Reader) error {
		id, err := lookup(r, a.a.keys, name)
		if err != nil {
			return err
		}
		row, err := readBox(r, a.a.keys, id)
		st = row.status(id)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	return st, a.a.s.db.Sync(ctx)
}

// Subscribe sets or clears a subscription; the name need not exist.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	name, err := cleanNewName(name)
	if err != nil {
		return err
	}
	modseq, err := a.a.s.update(ctx, a.a.id, func(e *edit) error {
		key := e.keys.subscribed(name)
		_, err := e.tx.Get(key)
		switch is := err == nil; {
		case err != nil && !errors.Is(err, kv.ErrNotFound):
			return err
		case is == on:
			return nil
		case on:
			err = e.tx.Set(key, nil)
		default:
			err = e.tx.Delete(key)
		}
		e.head.listSeq = e.touch()
		return err
	})
	if err != nil {
		return err
	}
	return a.a.changed(ctx, modseq)
}
