package directory

import (
	"context"
	"fmt"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/kv"
)

// Stored reads the objects that an index holds, without their dates, as it is; the
// index need not be that of an open directory. Rows that are damaged are passed over;
// errs tells about each. err is for an index that cannot be read to its end.
func Stored(ctx context.Context, db kv.Store) (list []Object, errs []error, err error) {
	err = db.View(ctx, func(r kv.Reader) error {
		for _, kind := range []byte{rowLedger, rowDomain, rowAlias, rowAccount} {
			from := kv.NewKey(kv.Directory).Byte(kind)
			err := r.Scan(from, from.End(), func(k, v []byte) bool {
				o, err := storedObject(kind, v)
				if err != nil {
					errs = append(errs, fmt.Errorf("%w (row %x)", err, k))
				} else {
					list = append(list, o)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return list, errs, err
}

// storedObject is the object in a row.
func storedObject(kind byte, row []byte) (o Object, err error) {
	switch kind {
	case rowDomain:
		var f domainForm
		o.Ref, err = decodeRow(row, &f)
		o.Name = domainName(f.Name)
	case rowAlias:
		var f aliasForm
		o.Ref, err = decodeRow(row, &f)
		o.Name = aliasName(f.Address.Key())
	case rowAccount:
		var f accountForm
		o.Ref, err = decodeRow(row, &f)
		o.Name = accountName(f.ID)
	default:
		var f ledgerForm
		o.Ref, err = decodeRow(row, &f)
		o.Name = ledgerName
	}
	if err == nil {
		o.Data = append([]byte(nil), row[blob.RefSize:]...)
	}
	return o, err
}

// Merge adds to the copies in the log those objects of an index (Stored) whose copy
// the log has lost. An index is the whole directory at one time: that of the latest
// copy it refers to, or later. So its objects replace copies up to then, and what was
// removed later stays away.
func Merge(log, index []Object) []Object {
	dates := make(map[blob.Ref]time.Time, len(log))
	for _, o := range log {
		dates[o.Ref] = o.Date
	}
	var asOf time.Time
	for _, o := range index {
		if date, ok := dates[o.Ref]; ok && date.After(asOf) {
			asOf = date
		}
		if o.Name != ledgerName {
			continue
		}
		var f ledgerForm
		if decodeObject(o.Data, &f) != nil {
			continue
		}
		for _, gone := range f.Removed {
			if gone.At.After(asOf) {
				asOf = gone.At
			}
		}
	}
	for _, o := range index {
		if _, ok := dates[o.Ref]; !ok {
			// A copy of its own is made for it, since the one it had is lost.
			log = append(log, Object{Name: o.Name, Date: asOf.Add(1), Data: o.Data})
		}
	}
	return log
}
