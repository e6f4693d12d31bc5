package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Object is the copy of one object that was found in the log (package record).
type Object struct {
	Name string    // record.Meta.Object
	Date time.Time // record.Meta.Date
	Ref  blob.Ref
	Data []byte // the body
}

// restoreBatch is how many objects one transaction restores.
const restoreBatch = 100

// Restore makes the directory again from the copies in the log, in any order;
// of several copies of an object the newest counts, and what was removed after
// it was copied stays away. OnCreate runs for every account. The directory must
// be empty and not in use: ErrExists. Objects that cannot be read, or that
// belong to no domain, are passed over; errs tells about each.
func (d *Directory) Restore(ctx context.Context, objects []Object) (errs []error, err error) {
	im := d.impl
	im.writing.Lock()
	defer im.writing.Unlock()
	if len(*im.ix.byAge.Load()) > 0 || im.next > 1 {
		return nil, ErrExists
	}
	r := restoring{d: im}
	if objects, err = r.withoutOwn(ctx, objects); err != nil {
		return nil, err
	}
	objects = r.newest(objects)
	for from := 0; from < len(objects); {
		to := min(from+restoreBatch, len(objects))
		if err := r.batch(ctx, objects[from:to]); err != nil {
			return r.errs, err
		}
		from = to
	}
	return r.errs, nil
}

type restoring struct {
	d    *dirImpl
	errs []error
}

// withoutOwn leaves out the ledger that Open has just made.
func (r *restoring) withoutOwn(ctx context.Context, objects []Object) ([]Object, error) {
	var own blob.Ref
	err := r.d.db.View(ctx, func(rd kv.Reader) (err error) {
		own, err = refOf(rd, ledgerRow())
		return err
	})
	return slices.DeleteFunc(slices.Clone(objects), func(o Object) bool { return !own.IsZero() && o.Ref == own }), err
}

// newest drops older copies and what was removed, and puts the ledger first,
// then domains, then the rest.
func (r *restoring) newest(objects []Object) []Object {
	last := make(map[string]Object)
	for _, o := range objects {
		if have, ok := last[o.Name]; !ok || o.Date.After(have.Date) {
			last[o.Name] = o
		}
	}
	if o, ok := last[ledgerName]; ok {
		var ledger ledgerForm
		if err := decodeObject(o.Data, &ledger); err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %w", o.Name, err))
			delete(last, ledgerName)
		}
		for _, gone := range ledger.Removed {
			if o, ok := last[gone.Object]; ok && !o.Date.After(gone.At) {
				delete(last, gone.Object)
			}
		}
	}
	list := make([]Object, 0, len(last))
	for _, o := range last {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Object) int {
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return list
}

// rank is the order in which kinds of objects are restored.
func rank(name string) int {
	switch kind, _, _ := strings.Cut(name, "/"); kind {
	case ledgerName:
		return 0
	case "domain":
		return 1
	}
	return 2
}

// batch restores some objects in one transaction.
func (r *restoring) batch(ctx context.Context, objects []Object) error {
	c := change{}
	next := r.d.next
	var apply []func()
	var made []id.Account
	for _, o := range objects {
		fn, err := r.object(&c, o, &next, &made)
		switch {
		case err != nil:
			r.errs = append(r.errs, fmt.Errorf("%s: %w", o.Name, err))
		case rank(o.Name) < 2:
			fn() // accounts and aliases look for their domain
		default:
			apply = append(apply, fn)
		}
	}
	c.row(nextRow(), appendUint64(uint64(next)))
	c.also = func(tx kv.Tx) error {
		for i := 0; i < len(made) && r.d.opt.OnCreate != nil; i++ {
			if err := r.d.opt.OnCreate(tx, made[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := r.d.commit(ctx, &c); err != nil {
		return err
	}
	r.d.next = next
	for _, fn := range apply {
		fn()
	}
	return nil
}

var errNoDomain = errors.New("its domain is not there")

// object adds one object to c, and returns what the index is told afterwards.
func (r *restoring) object(c *change, o Object, next *id.Account, made *[]id.Account) (func(), error) {
	put := func(key kv.Key) {
		ob := object{key: key, name: o.Name, form: o, encoded: o.Data}
		if r.d.opt.Counts != nil {
			ob.ref, ob.kept = o.Ref, !o.Ref.IsZero()
		}
		c.objects = append(c.objects, ob)
	}
	kind, _, _ := strings.Cut(o.Name, "/")
	switch kind {
	case ledgerName:
		return r.ledger(o, next, put)
	case "domain":
		var f domainForm
		if err := decodeObject(o.Data, &f); err != nil {
			return nil, err
		}
		put(domainRow(f.Name))
		return func() { r.d.ix.setDomain(f.domain()) }, nil
	case "account":
		var f accountForm
		if err := decodeObject(o.Data, &f); err != nil {
			return nil, err
		}
		key := f.Address.Key()
		if err := errors.Join(r.belongs(key), r.d.taken(key)); err != nil || f.ID == 0 {
			return nil, cmp.Or(err, ErrInvalid)
		}
		put(accountRow(f.ID))
		c.row(addressRow(key), appendUint64(uint64(f.ID)))
		c.parts = append(c.parts, kv.AccountPartition(uint64(f.ID)))
		*made = append(*made, f.ID)
		*next = max(*next, f.ID+1)
		return func() { r.d.ix.setAccount(f.account(), 0) }, nil
	case "alias":
		var f aliasForm
		if err := decodeObject(o.Data, &f); err != nil {
			return nil, err
		}
		key := f.Address.Key()
		if err := r.belongs(key); err != nil {
			return nil, err
		}
		put(aliasRow(key))
		return func() { r.d.ix.setAlias(Alias{f.Address, f.Targets}) }, nil
	}
	return nil, fmt.Errorf("unknown kind of object")
}

func (r *restoring) belongs(key string) error {
	if _, ok := r.d.ix.domains.get(domainOf(key)); !ok {
		return errNoDomain
	}
	return nil
}

// ledger restores the ledger in the place of the one that Open has just made.
func (r *restoring) ledger(o Object, next *id.Account, put func(kv.Key)) (func(), error) {
	var f ledgerForm
	if err := decodeObject(o.Data, &f); err != nil {
		return nil, err
	}
	put(ledgerRow())
	*next = max(*next, f.Next)
	return func() {
		r.d.ledger = f
		r.d.login.salt = f.Salt
	}, nil
}
