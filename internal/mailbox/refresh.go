package mailbox

import (
	"context"
	"errors"
	"slices"

	"posthouse/internal/kv"
)

// A view is brought up to date in three steps: read what changed in one View,
// wait until what that View saw is durable, publish. So nothing is shown that a
// crash could take back, and a UID that was seen is never given again.

// refresh brings the view up to date and wakes those who watch it. What was
// written up to modseq durable is known to be on disk. A mailbox that is gone
// answers ErrDeleted.
func (b *box) refresh(ctx context.Context, durable uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deleted.Load() {
		return ErrDeleted
	}
	if durable > 0 && b.seen >= durable {
		return nil // somebody else's refresh has brought it
	}
	old := b.snap.Load()
	var u update
	err := b.a.s.db.View(ctx, func(r kv.Reader) error {
		u = update{r: r, keys: b.a.keys, box: b.id, old: old, since: b.seen}
		return u.read()
	})
	if err != nil && !errors.Is(err, ErrDeleted) {
		return err
	}
	gone := err != nil
	if u.head.modseq > max(durable, b.seen) || gone {
		if err := b.a.s.db.Sync(ctx); err != nil {
			return err
		}
	}
	if gone {
		return b.vanish(old)
	}
	b.seen = u.head.modseq
	b.name.Store(&u.row.name)
	if u.snap != old {
		b.snap.Store(u.snap)
		b.watch.wake()
	}
	return nil
}

// vanish notes that the mailbox was deleted. Sessions keep their last snapshot.
func (b *box) vanish(old *Snapshot) error {
	b.deleted.Store(true)
	if old == nil {
		b.snap.Store(&Snapshot{})
	}
	b.watch.wake()
	return ErrDeleted
}

// update is one reading of what changed.
type update struct {
	r     kv.Reader
	keys  keyspace
	box   uint32
	old   *Snapshot // nil for a first load
	since uint64

	head head
	row  boxRow
	snap *Snapshot
}

func (u *update) read() (err error) {
	if u.head, err = readHead(u.r, u.keys); err != nil {
		return err
	}
	if u.row, err = readBox(u.r, u.keys, u.box); err != nil {
		return err
	}
	if u.old != nil && u.old.status.HighestModSeq == u.row.modseq {
		u.snap = u.old
		return nil
	}
	words, err := u.words()
	if err != nil {
		return err
	}
	touched, expunged, whole, err := u.changes()
	if err != nil {
		return err
	}
	var b *builder
	if whole {
		b, err = u.load()
	} else {
		b, err = u.apply(touched, expunged)
	}
	if err != nil {
		return err
	}
	u.snap = b.finish(words, u.row.status(u.box))
	return nil
}

// words is the dictionary. Until it is full it only grows, so the old one is good
// if as long.
func (u *update) words() ([]string, error) {
	same := u.old != nil && len(u.old.keywords) == u.row.keywords
	if same && u.row.keywords < maxKeywords {
		return u.old.keywords, nil
	}
	names, err := readKeywords(u.r, u.keys, u.box, u.row.keywords)
	if same && slices.Equal(names, u.old.keywords) {
		names = u.old.keywords
	}
	return names, err
}

// changes follows the log. whole says that reading the mailbox anew is cheaper,
// or the log too short.
func (u *update) changes() (touched, expunged UIDSet, whole bool, err error) {
	if u.old == nil || u.since < u.head.logFloor {
		return nil, nil, true, nil
	}
	err = readChanges(u.r, u.keys, u.since, u.box, func(c change) {
		if c.kind == changeExpunged {
			expunged = append(expunged, c.uids...)
		} else {
			touched = append(touched, c.uids...)
		}
	})
	touched, expunged = touched.Sorted(), expunged.Sorted()
	whole = touched.Count() > 1000 && touched.Count() > int(u.row.exists)/2
	return touched, expunged, whole, err
}

// load reads the whole mailbox in one scan.
func (u *update) load() (*builder, error) {
	b := &builder{own: make(map[int]bool), expect: int(u.row.exists)}
	prefix := u.keys.messages(u.box)
	var bad error
	var e Entry
	err := u.r.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		if bad = decodeEntry(uidOf(key), value, &e); bad == nil {
			b.add(e)
		}
		return bad == nil
	})
	if err != nil {
		return nil, err
	}
	return b, bad
}

// apply changes what the log told of.
func (u *update) apply(touched, expunged UIDSet) (*builder, error) {
	b := newBuilder(u.old)
	b.remove(slices.Collect(expunged.All()))
	uids := make([]uint32, 0, touched.Count())
	for uid := range touched.All() {
		if !expunged.Contains(uid) {
			uids = append(uids, uid)
		}
	}
	entries, err := readEntries(u.r, u.keys, u.box, uids)
	for _, e := range entries {
		b.put(e)
	}
	return b, err
}
