package directory

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// WasRemoved reports whether account n is known to have been removed. Of very many
// removed accounts it knows the last ones only.
func (d *Directory) WasRemoved(n id.Account) bool {
	d.impl.writing.Lock()
	defer d.impl.writing.Unlock()
	for _, gone := range d.impl.ledger.Removed {
		if gone.Object == accountName(n) {
			return true
		}
	}
	return false
}

// Recover makes account n again, which is known by its mail alone. Nobody can log in
// to it until it has a password. Where addr is the zero address or belongs to somebody
// else by now, the address is recovered-N in the domain of addr, in the oldest domain,
// or in fallback. A domain that is missing is made. ErrExists when there is an account
// n.
func (d *Directory) Recover(ctx context.Context, n id.Account, addr smtp.Address, fallback string) (Account, error) {
	im := d.impl
	addr, err := d.recoveryAddress(ctx, n, addr, fallback)
	if err != nil {
		return Account{}, err
	}
	im.writing.Lock()
	defer im.writing.Unlock()
	if _, ok := im.ix.accounts.get(n); ok || n == 0 {
		return Account{}, ErrExists
	}
	key := addr.Key()
	if err := errors.Join(im.checkAddress(addr), im.taken(key)); err != nil {
		return Account{}, err
	}
	form := accountForm{Form: rowForm, ID: n, Tenant: tenant, Address: addr, Created: im.clock.Now().UTC()}
	next := max(im.next, n+1)
	c := change{parts: kv.Partitions{kv.AccountPartition(uint64(n))}}
	c.put(accountRow(n), accountName(n), &form)
	c.row(addressRow(key), appendUint64(uint64(n)))
	c.row(nextRow(), appendUint64(uint64(next)))
	if im.opt.OnCreate != nil {
		c.also = func(tx kv.Tx) error { return im.opt.OnCreate(tx, n) }
	}
	if err := im.commit(ctx, &c); err != nil {
		return Account{}, err
	}
	im.next = next
	im.ix.setAccount(form.account(), 0)
	return form.account(), nil
}

// recoveryAddress finds the address for Recover and sees to its domain.
func (d *Directory) recoveryAddress(ctx context.Context, n id.Account, addr smtp.Address, fallback string) (smtp.Address, error) {
	switch oldest := *d.impl.ix.byAge.Load(); {
	case addr.Domain != "":
	case len(oldest) > 0:
		addr.Domain = oldest[0].domain.Name
	default:
		addr.Domain = fallback
	}
	if _, err := d.AddDomain(ctx, addr.Domain); err != nil && !errors.Is(err, ErrExists) {
		return addr, err
	}
	for i := 0; addr.Local == "" || d.impl.taken(addr.Key()) != nil; i++ {
		addr.Local = fmt.Sprintf("recovered-%d", n)
		if i > 0 {
			addr.Local += fmt.Sprintf("-%d", i)
		}
	}
	return addr, nil
}
