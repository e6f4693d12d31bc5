package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// checkAddress checks an address that is to live here. The error for a domain
// elsewhere is ErrNotLocal.
func (d *dirImpl) checkAddress(addr smtp.Address) error {
	again, err := smtp.ParseAddress(addr.String())
	if err != nil || again != addr {
		return fmt.Errorf("%w: %q is not a mail address", ErrInvalid, addr.String())
	}
	if _, ok := d.ix.domains.get(smtp.CanonicalDomain(addr.Domain)); !ok {
		return fmt.Errorf("%w: %s", ErrNotLocal, addr.Domain)
	}
	return nil
}

// taken reports what an address already is.
func (d *dirImpl) taken(key string) error {
	n, ok := d.ix.names.get(key)
	switch {
	case !ok:
		return nil
	case n.alias != nil:
		return fmt.Errorf("%w: as an alias", ErrExists)
	}
	return fmt.Errorf("%w: as an account", ErrExists)
}

// AddAccount adds an account; its domain must live here. password may be "" for
// an account that nobody can log in to yet.
func (d *Directory) AddAccount(ctx context.Context, addr smtp.Address, password string) (Account, error) {
	im := d.impl
	if err := im.checkAddress(addr); err != nil {
		return Account{}, err
	}
	key := addr.Key()
	if err := im.taken(key); err != nil {
		return Account{}, err
	}
	form := accountForm{Form: rowForm, Tenant: tenant, Address: addr, Created: im.clock.Now().UTC()}
	if password != "" {
		secrets, err := im.login.newSecrets(ctx, password)
		if err != nil {
			return Account{}, err
		}
		form.secretForm = secrets
	}
	im.writing.Lock()
	defer im.writing.Unlock()
	if err := im.checkAddress(addr); err != nil { // the domain may be gone by now
		return Account{}, err
	}
	if err := im.taken(key); err != nil {
		return Account{}, err
	}
	form.ID = im.next
	c := change{parts: kv.Partitions{kv.AccountPartition(uint64(form.ID))}}
	c.put(accountRow(form.ID), accountName(form.ID), &form)
	c.row(addressRow(key), appendUint64(uint64(form.ID)))
	c.row(nextRow(), appendUint64(uint64(im.next)+1))
	if im.opt.OnCreate != nil {
		c.also = func(tx kv.Tx) error { return im.opt.OnCreate(tx, form.ID) }
	}
	if err := im.commit(ctx, &c); err != nil {
		return Account{}, err
	}
	im.next++
	im.ix.setAccount(form.account(), 0)
	return form.account(), nil
}

// Accounts lists the accounts by address.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) {
	var entries []*accountEntry
	d.impl.ix.accounts.all(func(_ id.Account, e *accountEntry) bool {
		entries = append(entries, e)
		return true
	})
	slices.SortFunc(entries, func(a, b *accountEntry) int { return strings.Compare(a.key, b.key) })
	list := make([]Account, len(entries))
	for i, e := range entries {
		list[i] = e.account
	}
	return list, nil
}

// Account finds an account by its own address (no aliases, no detail); ErrNotFound.
func (d *Directory) Account(ctx context.Context, addr smtp.Address) (Account, error) {
	e, ok := d.impl.ix.account(addr)
	if !ok {
		return Account{}, ErrNotFound
	}
	return e.account, nil
}

// AccountByID finds an account by its number; ErrNotFound.
func (d *Directory) AccountByID(ctx context.Context, acct id.Account) (Account, error) {
	e, ok := d.impl.ix.accounts.get(acct)
	if !ok {
		return Account{}, ErrNotFound
	}
	return e.account, nil
}

// RemoveAccount removes an account from the directory. Its mailboxes are the
// caller's to remove (mailbox.Store.Remove), after this.
func (d *Directory) RemoveAccount(ctx context.Context, addr smtp.Address) (Account, error) {
	im := d.impl
	im.writing.Lock()
	defer im.writing.Unlock()
	e, ok := im.ix.account(addr)
	if !ok {
		return Account{}, ErrNotFound
	}
	var c change
	c.remove(accountRow(e.account.ID), accountName(e.account.ID))
	c.row(addressRow(e.key), nil)
	ledger := im.forget(&c, accountName(e.account.ID))
	if err := im.commit(ctx, &c); err != nil {
		return Account{}, err
	}
	im.ledger = ledger
	im.ix.removeAccount(e)
	im.login.cache.forget(e.account.ID)
	return e.account, nil
}

// SetPassword replaces a password; cached credentials are forgotten at once.
func (d *Directory) SetPassword(ctx context.Context, addr smtp.Address, password string) error {
	im := d.impl
	if _, ok := im.ix.account(addr); !ok {
		return ErrNotFound
	}
	secrets, err := im.login.newSecrets(ctx, password)
	if err != nil {
		return err
	}
	return im.changeAccount(ctx, addr, true, func(f *accountForm) error {
		f.secretForm = secrets
		return nil
	})
}

// SetQuota sets an account's quota in bytes, 0 for none.
func (d *Directory) SetQuota(ctx context.Context, addr smtp.Address, bytes int64) error {
	if bytes < 0 {
		return fmt.Errorf("%w: quota below 0", ErrInvalid)
	}
	return d.impl.changeAccount(ctx, addr, false, func(f *accountForm) error {
		f.Quota = bytes
		return nil
	})
}

// SetOwnerSince says since when an account's address has been that of its owner
// (RFC 7293 section 9): before it was created here when it was moved here, after
// when it was handed over to somebody else. Zero is now; the time must not be to
// come.
func (d *Directory) SetOwnerSince(ctx context.Context, addr smtp.Address, since time.Time) error {
	now := d.impl.clock.Now()
	if since.IsZero() {
		since = now
	}
	if since.After(now) {
		return fmt.Errorf("%w: an owner since %s", ErrInvalid, since.Format(time.RFC3339))
	}
	return d.impl.changeAccount(ctx, addr, false, func(f *accountForm) error {
		f.Owner = since.UTC()
		return nil
	})
}

// changeAccount rewrites an account; fn may refuse with an error. With secrets
// what was verified before is not valid any more.
func (d *dirImpl) changeAccount(ctx context.Context, addr smtp.Address, secrets bool, fn func(*accountForm) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	e, ok := d.ix.account(addr)
	if !ok {
		return ErrNotFound
	}
	var form accountForm
	if err := d.read(ctx, accountRow(e.account.ID), &form); err != nil {
		return err
	}
	if err := fn(&form); err != nil {
		return err
	}
	var c change
	c.put(accountRow(form.ID), accountName(form.ID), &form)
	if err := d.commit(ctx, &c); err != nil {
		return err
	}
	epoch := e.epoch
	if secrets {
		d.epoch++
		epoch = d.epoch
	}
	d.ix.setAccount(form.account(), epoch)
	if secrets {
		d.login.cache.forget(form.ID)
	}
	return nil
}
