package mailbox

import (
	"context"
	"errors"
	"math/bits"

	"posthouse/internal/kv"
	"posthouse/internal/rowcodec"
	"posthouse/internal/space"
)

// copyPage is the most messages that one transaction copies or moves: about
// 5 MB of the 8 that an engine must take.
const copyPage = 40_000

// copyRoom is about what the rows of a copy take on the disk until the engine has
// put them in order, in bytes.
const copyRoom = 256

// Copy copies messages, all or none, with flags, keywords and dates. Keywords
// for which dest has no room are left behind. More than 40,000 messages take
// several transactions; if one fails the earlier are undone, also after a crash.
func (m *Mailbox) Copy(ctx context.Context, uids UIDSet, dest string) (CopyResult, error) {
	res, err := m.b.transfer(ctx, m.Snapshot(), uids, dest, false)
	return res, err
}

// Move moves messages, all or none, in one transaction (RFC 6851). More than
// 40,000 messages take several, each message being in one place or the other
// (RFC 6851 section 3.3); the result then has what was moved, also beside an error.
func (m *Mailbox) Move(ctx context.Context, uids UIDSet, dest string) (CopyResult, error) {
	return m.b.transfer(ctx, m.Snapshot(), uids, dest, true)
}

// transfer is one COPY or MOVE.
type transfer struct {
	src   uint32
	dest  string
	move  bool
	quota int64
	bytes int64 // that are still to be copied
	pages []UIDRange
	done  CopyResult
}

func (b *box) transfer(ctx context.Context, snap *Snapshot, set UIDSet, dest string, move bool) (CopyResult, error) {
	name, err := CleanName(dest)
	if err != nil {
		return CopyResult{}, ErrNoMailbox
	}
	t := &transfer{src: b.id, dest: name, move: move}
	if !move {
		if t.quota, err = b.a.s.quota(ctx, b.a.id); err != nil {
			return CopyResult{}, err
		}
	}
	uids := snap.uidsIn(set)
	if !move { // which people need to clear away
		if err := b.a.s.opt.Space.Fits(space.Copies, int64(len(uids))*copyRoom); err != nil {
			return CopyResult{}, err
		}
	}
	for _, uid := range uids {
		i, _ := snap.Index(uid)
		t.bytes += int64(snap.at(i).Size)
	}
	last, err := b.transferPages(ctx, t, uids)
	if err != nil && !move {
		undone, undoErr := b.a.undo(context.WithoutCancel(ctx), t)
		last, err = max(last, undone), errors.Join(err, undoErr)
		t.done = CopyResult{}
	}
	if shown := b.a.changed(ctx, last); err == nil {
		err = shown
	}
	return t.done, err
}

// transferPages runs the transactions. It asks for the destination also when
// there is nothing to copy.
func (b *box) transferPages(ctx context.Context, t *transfer, uids []uint32) (last uint64, err error) {
	for first := true; first || len(uids) > 0; first = false {
		n := min(b.a.s.copyPage, len(uids))
		final := n == len(uids)
		var page CopyResult
		var bytes int64
		modseq, err := b.a.s.update(ctx, b.a.id, func(e *edit) (err error) {
			page, bytes, err = e.transfer(t, uids[:n], final)
			return err
		})
		if err != nil {
			return last, err
		}
		last = max(last, modseq)
		t.note(page, bytes)
		uids = uids[n:]
	}
	return last, nil
}

func (t *transfer) note(page CopyResult, bytes int64) {
	t.bytes -= bytes
	t.done.UIDValidity = page.UIDValidity
	t.done.Source = append(t.done.Source, page.Source...)
	t.done.Dest = append(t.done.Dest, page.Dest...)
	t.pages = append(t.pages, page.Dest...)
}

// transfer does one page in a transaction.
func (e *edit) transfer(t *transfer, uids []uint32, final bool) (res CopyResult, bytes int64, err error) {
	to, err := e.boxNamed(t.dest)
	if err != nil {
		return res, 0, err
	}
	from, err := e.box(t.src)
	if err != nil {
		return res, 0, err
	}
	if !t.move && overQuota(e.head.bytes, t.bytes, t.quota) {
		return res, 0, ErrOverQuota
	}
	entries, err := readEntries(e.tx, e.keys, t.src, uids)
	if err != nil {
		return res, 0, err
	}
	res.UIDValidity = to.row.uidValidity
	words := keywordMap{from: from, to: to}
	for _, m := range entries {
		uid, err := e.transferOne(t, from, to, &words, m)
		if err != nil {
			return res, 0, err
		}
		bytes += int64(m.Size)
		res.Source = res.Source.Add(m.UID)
		res.Dest = res.Dest.Add(uid)
	}
	if !t.move {
		err = e.noteUndo(t, to, res.Dest, final)
	}
	return res, bytes, err
}

func (e *edit) transferOne(t *transfer, from, to *boxEdit, words *keywordMap, m Entry) (uid uint32, err error) {
	if t.move {
		err = from.take(m)
	} else {
		err = e.addRow(m.Message)
	}
	if err != nil {
		return 0, err
	}
	is := m
	is.SaveDate = e.now.Unix() // RFC 8514 section 4.4
	if is.Keywords, err = words.bits(m.Keywords); err != nil {
		return 0, err
	}
	is, err = to.put(is)
	return is.UID, err
}

// addRow counts one row more that uses message n.
func (e *edit) addRow(n uint64) error {
	row, err := e.body(n)
	if err != nil {
		return err
	}
	row.rows++
	return e.tx.Set(e.keys.body(n), row.encode())
}

// keywordMap turns keyword bits of one mailbox into those of another.
type keywordMap struct {
	from, to *boxEdit
	known    uint64 // bits of from that were asked for
	bit      [maxKeywords]uint64
}

func (m *keywordMap) bits(in uint64) (uint64, error) {
	if m.from == m.to {
		return in, nil
	}
	var out uint64
	for left := in; left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		if m.known&(1<<i) == 0 {
			names, err := m.from.names()
			if err != nil {
				return 0, err
			}
			if i < len(names) {
				m.bit[i], err = m.to.keywordBits(names[i:i+1], true)
				if err != nil && !errors.Is(err, ErrKeywords) {
					return 0, err
				}
			}
			m.known |= 1 << i
		}
		out |= m.bit[i]
	}
	return out, nil
}

// A copy of several pages leaves a row for each page but the last, which takes
// them all away; a row that stays means a copy that was not finished.

// undoAfter is how many hours such a row may stay before the copy counts as broken off.
const undoAfter = 1

func (e *edit) noteUndo(t *transfer, to *boxEdit, dest UIDSet, final bool) error {
	if final {
		for _, page := range t.pages {
			if err := e.tx.Delete(e.keys.undo(to.id, page.First)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, page := range dest {
		value := rowcodec.AppendUvarint([]byte{rowVersion}, uint64(page.Last))
		value = rowcodec.AppendUvarint(value, uint64(hourOf(e.now)))
		if err := e.tx.Set(e.keys.undo(to.id, page.First), value); err != nil {
			return err
		}
	}
	return nil
}

// undo takes back the pages of a copy that failed.
func (a *account) undo(ctx context.Context, t *transfer) (modseq uint64, err error) {
	if len(t.pages) == 0 {
		return 0, nil
	}
	id, err := a.idOf(ctx, t.dest)
	if err != nil {
		return 0, err
	}
	for _, page := range t.pages {
		if modseq, err = a.undoPage(ctx, id, page); err != nil {
			return modseq, err
		}
	}
	return modseq, nil
}

// undoPage removes the messages that one page of a broken-off copy put into box.
func (a *account) undoPage(ctx context.Context, id uint32, page UIDRange) (last uint64, err error) {
	for first := page.First; first <= page.Last; {
		end := min(page.Last, first+expungePage-1)
		uids := make([]uint32, 0, end-first+1)
		for uid := range (UIDSet{{first, end}}).All() {
			uids = append(uids, uid)
		}
		modseq, err := a.s.update(ctx, a.id, func(e *edit) error {
			if err := e.undo(id, uids); err != nil || end < page.Last {
				return err
			}
			return e.tx.Delete(e.keys.undo(id, page.First))
		})
		if err != nil {
			return last, err
		}
		last = max(last, modseq)
		first = end + 1
	}
	return last, nil
}

func (e *edit) undo(id uint32, uids []uint32) error {
	box, err := e.box(id)
	if errors.Is(err, ErrDeleted) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := readEntries(e.tx, e.keys, id, uids)
	if err != nil {
		return err
	}
	for _, m := range entries {
		if err := box.expunge(m); err != nil {
			return err
		}
	}
	return nil
}

// idOf finds the id of a mailbox by its clean name.
func (a *account) idOf(ctx context.Context, name string) (id uint32, err error) {
	err = a.s.db.View(ctx, func(r kv.Reader) (err error) {
		id, err = lookup(r, a.keys, name)
		return err
	})
	return id, err
}
