package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// Body opens the bytes of a message; the caller closes it. ErrGone when the
// message was expunged and dropped meanwhile; ErrDamaged, which says whose message
// it is, when the mailbox has it and the disk has not.
func (m *Mailbox) Body(ctx context.Context, e Entry) (blob.Body, error) {
	row, err := m.bodyRow(ctx, e)
	if err != nil {
		return nil, err
	}
	name := &namedBody{m: m, uid: e.UID, ref: row.ref}
	name.Body, err = m.b.a.s.bodies.Open(row.ref)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
		// What is dropped leaves the index before it leaves the store.
		if _, gone := m.bodyRow(ctx, e); gone != nil {
			return nil, gone
		}
	}
	if err != nil {
		return nil, name.damage(err)
	}
	return name, nil
}

func (m *Mailbox) bodyRow(ctx context.Context, e Entry) (row bodyRow, err error) {
	err = m.b.a.s.db.View(ctx, func(r kv.Reader) error {
		b, err := r.Get(m.b.a.keys.body(e.Message))
		if errors.Is(err, kv.ErrNotFound) {
			return ErrGone
		}
		if err != nil {
			return err
		}
		row, err = decodeBody(b)
		return err
	})
	return row, err
}

// namedBody says whose body it is when that is damaged.
type namedBody struct {
	blob.Body
	m   *Mailbox
	uid uint32
	ref blob.Ref
}

// ReadAt is io.ReaderAt; ErrDamaged.
func (b *namedBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = b.damage(err)
	}
	return n, err
}

// Check is for blob.Check; ErrDamaged.
func (b *namedBody) Check() error {
	if err := blob.Check(b.Body); err != nil {
		return b.damage(err)
	}
	return nil
}

// damage makes ErrDamaged of what the store says of a damaged body.
func (b *namedBody) damage(err error) error {
	if !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: account %d, mailbox %q, UID %d, body %s: %w", ErrDamaged, b.m.b.a.id, b.m.Name(), b.uid, b.ref, err)
}
