package directory

import (
	"slices"
	"strings"
	"sync/atomic"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// tenant is the only one that a single house has.
const tenant = "main"

// index is the whole directory in memory, without credentials. Reading takes no
// lock; writers hold dirImpl.writing.
type index struct {
	domains  *cowMap[string, *domainEntry]
	accounts *cowMap[id.Account, *accountEntry]
	names    *cowMap[string, nameEntry] // by address key; "@domain" is the catch-all

	byAge atomic.Pointer[[]*domainEntry] // domains, oldest first
	first atomic.Pointer[accountEntry]   // the account with the lowest number
}

type domainEntry struct {
	domain Domain
	uses   int // accounts and aliases in it; belongs to writers
}

type accountEntry struct {
	account Account
	key     string
	// epoch changes with the password: what was verified under another one is
	// not valid any more.
	epoch uint64
}

// nameEntry is an account or an alias.
type nameEntry struct {
	account *accountEntry
	alias   *aliasEntry
}

type aliasEntry struct {
	alias Alias
	key   string
}

func newIndex() *index {
	ix := &index{
		domains:  newCowMap[string, *domainEntry](),
		accounts: newCowMap[id.Account, *accountEntry](),
		names:    newCowMap[string, nameEntry](),
	}
	ix.byAge.Store(&[]*domainEntry{})
	return ix
}

func (ix *index) setDomain(d Domain) {
	e := &domainEntry{domain: d}
	ix.domains.set(d.Name, e)
	list := append(slices.Clone(*ix.byAge.Load()), e)
	slices.SortStableFunc(list, func(a, b *domainEntry) int {
		if c := a.domain.Created.Compare(b.domain.Created); c != 0 {
			return c
		}
		return strings.Compare(a.domain.Name, b.domain.Name)
	})
	ix.byAge.Store(&list)
}

func (ix *index) removeDomain(name string) {
	ix.domains.remove(name)
	list := slices.DeleteFunc(slices.Clone(*ix.byAge.Load()), func(e *domainEntry) bool { return e.domain.Name == name })
	ix.byAge.Store(&list)
}

// use counts what is in the domain of an address key.
func (ix *index) use(key string, n int) {
	if d, ok := ix.domains.get(domainOf(key)); ok {
		d.uses += n
	}
}

// loadAccount is setAccount for a new account while nobody reads yet.
func (ix *index) loadAccount(a Account) {
	e := ix.newEntry(a, 0)
	ix.accounts.load(a.ID, e)
	ix.names.load(e.key, nameEntry{account: e})
	ix.use(e.key, 1)
	ix.lowest(e)
}

// newEntry shares the strings that most accounts have in common.
func (ix *index) newEntry(a Account, epoch uint64) *accountEntry {
	a.Tenant = tenant
	key := a.Address.Key()
	at := strings.LastIndexByte(key, '@')
	if d, ok := ix.domains.get(key[at+1:]); ok && d.domain.Name == a.Address.Domain {
		a.Address.Domain = d.domain.Name
	}
	if key[:at] == a.Address.Local {
		a.Address.Local = key[:at]
	}
	return &accountEntry{account: a, key: key, epoch: epoch}
}

// setAccount adds or replaces an account.
func (ix *index) setAccount(a Account, epoch uint64) {
	e := ix.newEntry(a, epoch)
	if _, had := ix.accounts.get(a.ID); !had {
		ix.use(e.key, 1)
	}
	ix.accounts.set(a.ID, e)
	ix.names.set(e.key, nameEntry{account: e})
	ix.lowest(e)
}

func (ix *index) lowest(e *accountEntry) {
	if f := ix.first.Load(); f == nil || e.account.ID <= f.account.ID {
		ix.first.Store(e)
	}
}

func (ix *index) removeAccount(e *accountEntry) {
	ix.accounts.remove(e.account.ID)
	ix.names.remove(e.key)
	ix.use(e.key, -1)
	if f := ix.first.Load(); f == nil || f.account.ID != e.account.ID {
		return
	}
	ix.first.Store(nil)
	ix.accounts.all(func(_ id.Account, e *accountEntry) bool {
		ix.lowest(e)
		return true
	})
}

func (ix *index) setAlias(a Alias) {
	e := &aliasEntry{alias: a, key: a.Address.Key()}
	if _, had := ix.names.get(e.key); !had {
		ix.use(e.key, 1)
	}
	ix.names.set(e.key, nameEntry{alias: e})
}

func (ix *index) removeAlias(key string) {
	ix.names.remove(key)
	ix.use(key, -1)
}

// domainOf is the domain of an address key.
func domainOf(key string) string { return key[strings.LastIndexByte(key, '@')+1:] }

// account finds an account by its own address.
func (ix *index) account(addr smtp.Address) (*accountEntry, bool) {
	n, ok := ix.names.get(addr.Key())
	return n.account, ok && n.account != nil
}
