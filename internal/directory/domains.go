package directory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"posthouse/internal/smtp"
)

// canonicalDomain checks the name of a domain that is to live here.
func canonicalDomain(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	if !smtp.ValidDomain(name) {
		return "", fmt.Errorf("%w: %q is not a domain name", ErrInvalid, name)
	}
	ascii, err := smtp.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%w: %q is not a domain name", ErrInvalid, name)
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return "", fmt.Errorf("%w: %q is an IP address, not a domain", ErrInvalid, name)
	}
	return ascii, nil
}

// AddDomain adds a domain and makes its DKIM keys (one RSA-2048, one Ed25519).
func (d *Directory) AddDomain(ctx context.Context, name string) (Domain, error) {
	im := d.impl
	name, err := canonicalDomain(name)
	if err != nil {
		return Domain{}, err
	}
	if _, ok := im.ix.domains.get(name); ok {
		return Domain{}, ErrExists
	}
	now := im.clock.Now().UTC()
	keys, err := makeDKIM(now)
	if err != nil {
		return Domain{}, err
	}
	im.writing.Lock()
	defer im.writing.Unlock()
	if _, ok := im.ix.domains.get(name); ok {
		return Domain{}, ErrExists
	}
	form := domainForm{Form: rowForm, Name: name, Tenant: tenant, Created: now, DKIM: keys}
	var c change
	c.put(domainRow(name), domainName(name), &form)
	if err := im.commit(ctx, &c); err != nil {
		return Domain{}, err
	}
	im.ix.setDomain(form.domain())
	return form.domain(), nil
}

// Domains lists the domains by name.
func (d *Directory) Domains(ctx context.Context) ([]Domain, error) {
	list := make([]Domain, 0, len(*d.impl.ix.byAge.Load()))
	for _, e := range *d.impl.ix.byAge.Load() {
		list = append(list, e.domain)
	}
	slices.SortFunc(list, func(a, b Domain) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Domain finds one domain by any spelling of its name; ErrNotFound.
func (d *Directory) Domain(ctx context.Context, name string) (Domain, error) {
	e, ok := d.impl.ix.domains.get(smtp.CanonicalDomain(strings.TrimSuffix(name, ".")))
	if !ok {
		return Domain{}, ErrNotFound
	}
	return e.domain, nil
}

// RemoveDomain removes a domain without accounts and aliases; ErrInUse otherwise.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	im := d.impl
	name = smtp.CanonicalDomain(strings.TrimSuffix(name, "."))
	im.writing.Lock()
	defer im.writing.Unlock()
	e, ok := im.ix.domains.get(name)
	if !ok {
		return ErrNotFound
	}
	if e.uses > 0 {
		return fmt.Errorf("%w: %d accounts and aliases", ErrInUse, e.uses)
	}
	var c change
	c.remove(domainRow(name), domainName(name))
	ledger := im.forget(&c, domainName(name))
	if err := im.commit(ctx, &c); err != nil {
		return err
	}
	im.ledger = ledger
	im.ix.removeDomain(name)
	return nil
}

// forget notes in the ledger that an object was removed. The caller stores the
// ledger it returns in d.ledger after c is committed.
func (d *dirImpl) forget(c *change, object string) ledgerForm {
	ledger := d.ledger
	ledger.Next = d.next
	ledger.Removed = append(slices.Clone(ledger.Removed), removed{object, d.clock.Now().UTC()})
	if n := len(ledger.Removed) - maxRemoved; n > 0 {
		ledger.Removed = ledger.Removed[n:]
	}
	c.put(ledgerRow(), ledgerName, &ledger)
	return ledger
}
