package directory

import (
	"context"
	"strings"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

const postmaster = "postmaster"

// isOffice reports whether an address key is one that every domain has: postmaster
// (RFC 5321 section 4.5.1), or abuse (RFC 2142 section 2), who is the postmaster if
// nobody else has the name.
func isOffice(key string) bool {
	local, _, _ := strings.Cut(plainKey(key), "@")
	return local == postmaster || local == "abuse"
}

// plainKey is an address key without its detail: "alice+x@…" is "alice@…".
func plainKey(key string) string {
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return key
	}
	if plus := strings.IndexByte(key[:at], '+'); plus > 0 {
		return key[:plus] + key[at:]
	}
	return key
}

// catchAllKey is the key of the catch-all that an address falls to.
func catchAllKey(key string) string {
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		return key[at:]
	}
	return ""
}

// find looks a local address up: itself, without its detail, the catch-all.
func (ix *index) find(key string) (nameEntry, bool) {
	if n, ok := ix.names.get(key); ok {
		return n, true
	}
	if plain := plainKey(key); len(plain) < len(key) {
		if n, ok := ix.names.get(plain); ok {
			return n, true
		}
	}
	return ix.names.get(catchAllKey(key))
}

// IsLocal reports whether mail for the domain is delivered here.
func (d *Directory) IsLocal(ctx context.Context, domain string) (bool, error) {
	_, ok := d.impl.ix.domains.get(smtp.CanonicalDomain(domain))
	return ok, nil
}

// Resolve follows aliases, catch-all and plus-addressing ("alice+x" is "alice")
// to the places where mail for addr goes, each once. "postmaster" without a
// domain, and postmaster and abuse at a local domain that has no such address, go
// to the first account that can take it. ErrNotLocal, ErrNoUser, ErrAliasLoop.
func (d *Directory) Resolve(ctx context.Context, addr smtp.Address) ([]Target, error) {
	ix := d.impl.ix
	key := addr.Key()
	if addr.Domain == "" {
		if key != postmaster {
			return nil, ErrNotLocal
		}
		return ix.postmaster()
	}
	if _, ok := ix.domains.get(domainOf(key)); !ok {
		return nil, ErrNotLocal
	}
	n, ok := ix.find(key)
	switch {
	case ok && n.account != nil:
		return []Target{{Account: n.account.account}}, nil
	case ok:
		targets, err := ix.expand(n.alias, true)
		if err != nil && isOffice(key) {
			return ix.postmasterOf(domainOf(key)) // an alias that leads nowhere any more
		}
		return targets, err
	case isOffice(key):
		return ix.postmasterOf(domainOf(key))
	}
	return nil, ErrNoUser
}

// postmasterOf is where mail for an office of a domain goes that nobody has: to the
// domain's postmaster, or else to that of the house.
func (ix *index) postmasterOf(domain string) ([]Target, error) {
	if targets, ok := ix.ownPostmaster(domain); ok {
		return targets, nil
	}
	return ix.postmaster()
}

// ownPostmaster is the postmaster of a domain that has one.
func (ix *index) ownPostmaster(domain string) ([]Target, bool) {
	n, ok := ix.names.get(postmaster + "@" + domain)
	switch {
	case !ok:
		return nil, false
	case n.account != nil:
		return []Target{{Account: n.account.account}}, true
	}
	targets, err := ix.expand(n.alias, false)
	return targets, err == nil
}

// postmaster is where mail for a postmaster who has no address goes: to the
// postmaster of the oldest domain that has one, or else to the oldest account.
func (ix *index) postmaster() ([]Target, error) {
	for _, e := range *ix.byAge.Load() {
		if targets, ok := ix.ownPostmaster(e.domain.Name); ok {
			return targets, nil
		}
	}
	if e := ix.first.Load(); e != nil {
		return []Target{{Account: e.account}}, nil
	}
	return nil, ErrNoUser
}

// expansion follows one alias to its ends.
type expansion struct {
	ix      *index
	via     smtp.Address
	path    map[*aliasEntry]bool // true while its targets are being followed
	seen    map[string]bool
	targets []Target
	offices []string // domains with an office among the targets that nobody has
}

// expand is where an alias leads. What it sends to an office that nobody has goes to
// the postmaster, unless it is the postmaster that is being looked for.
func (ix *index) expand(a *aliasEntry, offices bool) ([]Target, error) {
	x := expansion{ix: ix, via: a.alias.Address, path: map[*aliasEntry]bool{}, seen: map[string]bool{}}
	if err := x.follow(a); err != nil {
		return nil, err
	}
	for _, domain := range x.offices {
		if !offices {
			break
		}
		targets, err := ix.postmasterOf(domain)
		if err != nil {
			continue // there is nobody at all
		}
		for _, t := range targets {
			t.Via = x.via
			x.add(t.key(), t)
		}
	}
	if len(x.targets) == 0 {
		return nil, ErrNoUser
	}
	return x.targets, nil
}

// follow adds what an alias leads to. SetAlias lets no loop in, but a loop can
// close later, when an account goes and a catch-all takes its mail.
func (x *expansion) follow(a *aliasEntry) error {
	if on, seen := x.path[a]; seen {
		if on {
			return ErrAliasLoop
		}
		return nil
	}
	x.path[a] = true
	defer func() { x.path[a] = false }()
	for _, t := range a.alias.Targets {
		key := t.Key()
		if _, local := x.ix.domains.get(domainOf(key)); !local {
			x.add(key, Target{Address: t, Via: x.via})
			continue
		}
		n, ok := x.ix.find(key)
		switch {
		case ok && n.account != nil:
			x.add(n.account.key, Target{Account: n.account.account, Via: x.via})
		case ok:
			if err := x.follow(n.alias); err != nil {
				return err
			}
		case isOffice(key):
			x.offices = append(x.offices, domainOf(key))
		}
	}
	return nil
}

// key is what tells a target from others.
func (t *Target) key() string {
	if t.Account.ID != 0 {
		return t.Account.Address.Key()
	}
	return t.Address.Key()
}

func (x *expansion) add(key string, t Target) {
	if !x.seen[key] {
		x.seen[key] = true
		x.targets = append(x.targets, t)
	}
}

// MaySend reports whether an account may use addr as reverse-path or From: its
// own address, with detail, or an alias that leads to it.
func (d *Directory) MaySend(ctx context.Context, acct id.Account, addr smtp.Address) (bool, error) {
	ix := d.impl.ix
	if _, ok := ix.accounts.get(acct); !ok || addr.Domain == "" {
		return false, nil
	}
	n, ok := ix.find(addr.Key())
	switch {
	case !ok:
		return false, nil
	case n.account != nil:
		return n.account.account.ID == acct, nil
	}
	targets, err := ix.expand(n.alias, true)
	if err != nil {
		return false, nil // leads nowhere
	}
	for _, t := range targets {
		if t.Account.ID == acct {
			return true, nil
		}
	}
	return false, nil
}
