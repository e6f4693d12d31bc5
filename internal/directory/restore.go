package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
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
// be empty and not in use: ErrExists. Objects that cannot be read are passed over,
// and a domain that is missing while something is in it is made again, with new
// keys, for it cannot have been removed; errs tells about each.
func (d *Directory) Restore(ctx context.Context, objects []Object) (errs []error, err error) {
	im := d.impl
	im.writing.Lock()
	defer im.writing.Unlock()
	if len(*im.ix.byAge.Load()) > 0 || im.next > 1 {
		return nil, ErrExists
	}
	r := restoring{d: im, names: make(map[string]bool)}
	if objects, err = r.withoutOwn(ctx, objects); err != nil {
		return nil, err
	}
	if objects, err = r.withDomains(r.newest(objects)); err != nil {
		return r.errs, err
	}
	slices.SortFunc(objects, func(a, b Object) int {
		// Of two accounts with one address the younger has it, which has the higher number.
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), cmp.Compare(len(b.Name), len(a.Name)), strings.Compare(b.Name, a.Name))
	})
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
	d     *dirImpl
	errs  []error
	names map[string]bool // addresses of the accounts that were restored
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

// newest drops older copies and what was removed.
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
	return list
}

// rank is the order in which kinds of objects are restored: the ledger, then domains,
// then accounts, then aliases.
func rank(name string) int {
	switch kind, _, _ := strings.Cut(name, "/"); kind {
	case ledgerName:
		return 0
	case "domain":
		return 1
	case "account":
		return 2
	}
	return 3
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
			fn() // accounts count as uses of their domain
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

// withDomains drops domains that cannot be read, and makes those again that are
// missing while something is in them.
func (r *restoring) withDomains(objects []Object) ([]Object, error) {
	have := make(map[string]bool)
	objects = slices.DeleteFunc(objects, func(o Object) bool {
		if rank(o.Name) != 1 {
			return false
		}
		var f domainForm
		err := decodeObject(o.Data, &f)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %w", o.Name, err))
		}
		have[f.Name] = true
		return err != nil
	})
	for _, o := range objects {
		domain := domainIn(o)
		if domain == "" || have[domain] {
			continue
		}
		have[domain] = true
		made, err := r.makeDomain(domain)
		if err != nil {
			return nil, err
		}
		objects = append(objects, made)
		r.errs = append(r.errs, fmt.Errorf("%s: lost, and made again from the addresses in it: its DKIM keys are new and need new DNS records", made.Name))
	}
	return objects, nil
}

// domainIn is the domain that an account or an alias is in; "" for other objects and
// what cannot be read.
func domainIn(o Object) string {
	var f struct {
		Address smtp.Address `json:"address"`
	}
	if rank(o.Name) < 2 || decodeObject(o.Data, &f) != nil {
		return ""
	}
	return domainOf(f.Address.Key())
}

// makeDomain makes the object of a domain.
func (r *restoring) makeDomain(name string) (Object, error) {
	now := r.d.clock.Now().UTC()
	keys, err := makeDKIM(now)
	if err != nil {
		return Object{}, err
	}
	data, err := encodeObject(&domainForm{Form: rowForm, Name: name, Tenant: tenant, Created: now, DKIM: keys})
	return Object{Name: domainName(name), Date: now, Data: data}, err
}

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
		if r.names[key] || f.ID == 0 {
			return nil, fmt.Errorf("%w: %s", ErrExists, f.Address)
		}
		r.names[key] = true
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
		if r.names[key] {
			return nil, fmt.Errorf("%w: as an account", ErrExists)
		}
		put(aliasRow(key))
		return func() { r.d.ix.setAlias(Alias{f.Address, f.Targets}) }, nil
	}
	return nil, fmt.Errorf("unknown kind of object")
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
