package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"posthouse/internal/smtp"
)

// maxTargets bounds the targets of one alias, so that its row keeps below
// kv.MaxValue: an address is at most 320 bytes.
const maxTargets = 150

// SetAlias adds or replaces an alias. A loop among local addresses is ErrAliasLoop.
func (d *Directory) SetAlias(ctx context.Context, a Alias) error {
	im := d.impl
	im.writing.Lock()
	defer im.writing.Unlock()
	targets, err := im.checkAlias(a)
	if err != nil {
		return err
	}
	a.Targets = targets
	key := a.Address.Key()
	if n, ok := im.ix.names.get(key); ok && n.account != nil {
		return fmt.Errorf("%w: as an account", ErrExists)
	}
	if im.loops(key, a.Targets) {
		return fmt.Errorf("%w: %s", ErrAliasLoop, a.Address)
	}
	var c change
	c.put(aliasRow(key), aliasName(key), &aliasForm{Form: rowForm, Address: a.Address, Targets: a.Targets})
	if err := im.commit(ctx, &c); err != nil {
		return err
	}
	im.ix.setAlias(a)
	return nil
}

// checkAlias checks an alias, and gives its targets, each once.
func (d *dirImpl) checkAlias(a Alias) ([]smtp.Address, error) {
	if a.Address.Local != "" {
		if err := d.checkAddress(a.Address); err != nil {
			return nil, err
		}
	} else if _, ok := d.ix.domains.get(smtp.CanonicalDomain(a.Address.Domain)); !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotLocal, a.Address.Domain)
	}
	var targets []smtp.Address
	seen := make(map[string]bool)
	for _, t := range a.Targets {
		if again, err := smtp.ParseAddress(t.String()); err != nil || again != t {
			return nil, fmt.Errorf("%w: target %q is not a mail address", ErrInvalid, t.String())
		}
		if key := t.Key(); !seen[key] {
			seen[key] = true
			targets = append(targets, t)
		}
	}
	switch {
	case len(targets) == 0:
		return nil, fmt.Errorf("%w: no targets", ErrInvalid)
	case len(targets) > maxTargets:
		return nil, fmt.Errorf("%w: more than %d targets", ErrInvalid, maxTargets)
	}
	return targets, nil
}

// loops reports whether key would reach itself over targets.
func (d *dirImpl) loops(key string, targets []smtp.Address) bool {
	seen := make(map[string]bool)
	var follow func(targets []smtp.Address) bool
	follow = func(targets []smtp.Address) bool {
		for _, t := range targets {
			n, at := d.findAs(t.Key(), key)
			if at == key {
				return true
			}
			if n.alias == nil || seen[at] {
				continue
			}
			seen[at] = true
			if follow(n.alias.alias.Targets) {
				return true
			}
		}
		return false
	}
	return follow(targets)
}

// findAs is find in a directory where the alias planned exists as well; it
// also gives the key under which the entry stands.
func (d *dirImpl) findAs(key, planned string) (nameEntry, string) {
	for _, k := range [...]string{key, plainKey(key), catchAllKey(key)} {
		if k == planned {
			return nameEntry{}, k
		}
		if n, ok := d.ix.names.get(k); ok {
			return n, k
		}
	}
	return nameEntry{}, ""
}

// Aliases lists the aliases by address.
func (d *Directory) Aliases(ctx context.Context) ([]Alias, error) {
	var entries []*aliasEntry
	d.impl.ix.names.all(func(_ string, n nameEntry) bool {
		if n.alias != nil {
			entries = append(entries, n.alias)
		}
		return true
	})
	slices.SortFunc(entries, func(a, b *aliasEntry) int { return strings.Compare(a.key, b.key) })
	list := make([]Alias, len(entries))
	for i, e := range entries {
		list[i] = Alias{Address: e.alias.Address, Targets: slices.Clone(e.alias.Targets)}
	}
	return list, nil
}

// RemoveAlias removes an alias; ErrNotFound.
func (d *Directory) RemoveAlias(ctx context.Context, addr smtp.Address) error {
	im := d.impl
	im.writing.Lock()
	defer im.writing.Unlock()
	key := addr.Key()
	if n, ok := im.ix.names.get(key); !ok || n.alias == nil {
		return ErrNotFound
	}
	var c change
	c.remove(aliasRow(key), aliasName(key))
	ledger := im.forget(&c, aliasName(key))
	if err := im.commit(ctx, &c); err != nil {
		return err
	}
	im.ledger = ledger
	im.ix.removeAlias(key)
	return nil
}
