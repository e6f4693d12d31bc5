package directory

import (
	"context"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// Refs calls fn for every body in the log that an object of the directory has
// as its copy, one reference each, until it returns an error.
func (d *Directory) Refs(ctx context.Context, fn func(ref blob.Ref, n int) error) error {
	var found []blob.Ref
	err := d.impl.db.View(ctx, func(r kv.Reader) error {
		for _, row := range []byte{rowAccount, rowDomain, rowAlias, rowLedger} {
			prefix := kv.NewKey(kv.Directory).Byte(row)
			err := r.Scan(prefix, prefix.End(), func(_, value []byte) bool {
				if ref, ok := blob.ParseRef(value); ok && !ref.IsZero() {
					found = append(found, ref)
				}
				return ctx.Err() == nil
			})
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	for _, ref := range found {
		if err != nil {
			break
		}
		err = fn(ref, 1)
	}
	return err
}
