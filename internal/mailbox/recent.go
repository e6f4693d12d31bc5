package mailbox

import (
	"context"

	"posthouse/internal/kv"
)

// Recent is the UIDs from that of the first message that no session was told of to
// that of the last one; ok is false when there is none. With take the caller's
// session is the one that is told, and nobody else gets them again (RFC 3501 section
// 2.3.2), unless the disk is full: reading must not wait for room. That they were taken
// may be forgotten in a crash.
func (m *Mailbox) Recent(ctx context.Context, take bool) (uids UIDRange, ok bool, err error) {
	b := m.b
	look := func(row *boxRow) bool {
		ok = row.recent > 0
		uids = UIDRange{First: max(row.recentFrom, 1), Last: row.uidNext - 1}
		return ok
	}
	err = b.a.s.db.View(ctx, func(r kv.Reader) error {
		row, err := readBox(r, b.a.keys, b.id)
		if err == nil {
			look(&row)
		}
		return err
	})
	if err != nil || !ok || !take || b.a.s.opt.Space.Low() != nil {
		return uids, ok, err
	}
	_, err = b.a.s.update(ctx, b.a.id, func(e *edit) error {
		box, err := e.box(b.id)
		if err != nil || !look(&box.row) {
			return err
		}
		// No change that a client would have to hear of: no modseq is taken.
		box.row.recentFrom, box.row.recent = box.row.uidNext, 0
		return e.tx.Set(e.keys.box(b.id), box.row.encode())
	})
	return uids, ok && err == nil, err
}
