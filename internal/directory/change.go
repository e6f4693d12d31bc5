package directory

import (
	"context"
	"encoding/binary"
	"errors"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/kv"
	"posthouse/internal/record"
)

// errStale means that another node changed the directory since it was loaded.
var errStale = errors.New("directory: changed by another process")

// change is one transaction of the directory.
type change struct {
	objects []object
	rows    []plainRow
	parts   kv.Partitions        // beside the directory's own
	also    func(tx kv.Tx) error // more work in the same transaction
}

// object is a row with a copy in the log; a nil form removes it.
type object struct {
	key  kv.Key
	name string
	form any

	encoded  []byte
	ref, old blob.Ref
	kept     bool // ref was in the log before
}

// plainRow is a row without a copy; a nil value removes it.
type plainRow struct{ key, value []byte }

func (c *change) put(key kv.Key, name string, form any) {
	c.objects = append(c.objects, object{key: key, name: name, form: form})
}

func (c *change) remove(key kv.Key, name string) {
	c.objects = append(c.objects, object{key: key, name: name})
}

func (c *change) row(key, value []byte) { c.rows = append(c.rows, plainRow{key, value}) }

// commit makes c durable: copies into the log first, then the rows. The caller
// holds d.writing and brings the index up to date afterwards.
func (d *dirImpl) commit(ctx context.Context, c *change) error {
	if err := d.copy(ctx, c); err != nil {
		return err
	}
	parts := append(kv.Partitions{kv.Directory}, c.parts...)
	for _, o := range c.objects {
		for _, ref := range []blob.Ref{o.ref, o.old} {
			if !ref.IsZero() {
				parts = append(parts, refs.Partition(ref))
			}
		}
	}
	var dead []blob.Ref
	err := d.db.Update(ctx, parts, func(tx kv.Tx) (err error) {
		dead, err = d.write(tx, c)
		return err
	})
	if err != nil {
		if errors.Is(err, kv.ErrFailed) {
			return err // the rows may be there after all
		}
		d.undo(c)
		return err
	}
	d.version++
	for _, ref := range dead {
		d.release(ref)
	}
	return nil
}

// copy puts the objects into the log and finds the copies that they replace.
func (d *dirImpl) copy(ctx context.Context, c *change) error {
	for i := range c.objects {
		o := &c.objects[i]
		if o.form != nil && o.encoded == nil {
			var err error
			if o.encoded, err = encodeObject(o.form); err != nil {
				return err
			}
		}
	}
	if d.opt.Bodies == nil {
		return nil
	}
	err := d.db.View(ctx, func(r kv.Reader) (err error) {
		for i := range c.objects {
			if c.objects[i].old, err = refOf(r, c.objects[i].key); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range c.objects {
		if o := &c.objects[i]; err == nil && o.form != nil && !o.kept {
			o.ref, err = d.body(ctx, o)
		}
	}
	if err != nil {
		d.undo(c)
	}
	return err
}

// undo gives back the copies of a change that did not come about.
func (d *dirImpl) undo(c *change) {
	for _, o := range c.objects {
		if !o.kept {
			d.release(o.ref)
		}
	}
}

// body writes one object into the log.
func (d *dirImpl) body(ctx context.Context, o *object) (blob.Ref, error) {
	meta, err := (&record.Meta{Kind: record.Directory, Object: o.name, Date: d.clock.Now().UTC()}).Encode()
	if err != nil {
		return blob.Ref{}, err
	}
	w, err := d.opt.Bodies.CreateOwn(ctx)
	if err != nil {
		return blob.Ref{}, err
	}
	if _, err := w.Write(o.encoded); err != nil {
		w.Abort()
		return blob.Ref{}, err
	}
	return w.Commit(ctx, meta)
}

// release gives a copy back to the log. A failure leaves garbage, which the
// log's own collection finds.
func (d *dirImpl) release(ref blob.Ref) {
	if !ref.IsZero() {
		_ = d.opt.Counts.Release(ref)
	}
}

// write is the transaction. It returns the copies that nothing refers to any more.
func (d *dirImpl) write(tx kv.Tx, c *change) (dead []blob.Ref, err error) {
	version, err := readNumber(tx, versionRow())
	if err != nil {
		return nil, err
	}
	if version != d.version {
		return nil, errStale
	}
	if err := tx.Set(versionRow(), appendUint64(version+1)); err != nil {
		return nil, err
	}
	for _, r := range c.rows {
		if r.value == nil {
			err = tx.Delete(r.key)
		} else {
			err = tx.Set(r.key, r.value)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, o := range c.objects {
		if err := d.writeObject(tx, o, &dead); err != nil {
			return nil, err
		}
	}
	if c.also != nil {
		err = c.also(tx)
	}
	return dead, err
}

func (d *dirImpl) writeObject(tx kv.Tx, o object, dead *[]blob.Ref) error {
	if !o.ref.IsZero() {
		if err := d.opt.Counts.AddTx(tx, o.ref, 1); err != nil {
			return err
		}
	}
	if !o.old.IsZero() {
		last, err := d.opt.Counts.DropTx(tx, o.old, 1)
		if err != nil {
			return err
		}
		if last {
			*dead = append(*dead, o.old)
		}
	}
	if o.form == nil {
		return tx.Delete(o.key)
	}
	return tx.Set(o.key, encodeRow(o.ref, o.encoded))
}

func appendUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseUint64(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
