// Package directory knows who is who and who may what: domains, accounts,
// aliases, credentials, quotas. It is one partition of the store with a cache
// in front of it.
package directory

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// Errors of this package. Others are internal faults.
var (
	ErrExists    = errors.New("directory: exists already")
	ErrNotFound  = errors.New("directory: not found")
	ErrNotLocal  = errors.New("directory: domain does not live here")
	ErrNoUser    = errors.New("directory: no such user")      // 5.1.1
	ErrAliasLoop = errors.New("directory: aliases in a loop") // 5.4.6
	ErrBadLogin  = errors.New("directory: wrong user name or password")
	ErrThrottled = errors.New("directory: too many failed logins") // try again later
	ErrInUse     = errors.New("directory: still in use")
	ErrInvalid   = errors.New("directory: not valid") // wrapped with the reason
)

// Options of a Directory.
type Options struct {
	Clock clock.Clock
	// HashMemory bounds the memory that password hashing uses at one time, in
	// bytes; default 256 MB. Logins wait for their share.
	HashMemory int64
	// CacheFor is how long a verified credential is remembered; default 5 minutes.
	CacheFor time.Duration
	// Trusted are networks that are not slowed down after failed logins.
	Trusted []netip.Prefix
	// Bodies and Counts, when set, receive a copy of every object of the
	// directory, so that rebuild can make it again (package record).
	Bodies blob.Store
	Counts *refs.Counter
	// OnCreate runs in the transaction that creates an account (mailboxes are
	// made there); it must only write to the account's partition.
	OnCreate func(tx kv.Tx, acct id.Account) error
}

// Directory is safe for concurrent use.
type Directory struct{ impl *dirImpl }

// Open loads the directory.
func Open(ctx context.Context, db kv.Store, opt Options) (*Directory, error) { panic("not built") }

// Account is one account.
type Account struct {
	ID      id.Account
	Tenant  string
	Address smtp.Address // as given when it was created
	Quota   int64        // bytes; 0 is none
	Created time.Time
}

// Domain is one domain that lives here.
type Domain struct {
	Name    string // A-label form, lower case
	Tenant  string
	Created time.Time
	DKIM    []DKIMKey
}

// DKIMKey is a signing key of a domain.
type DKIMKey struct {
	Selector  string
	Algorithm string // "rsa" or "ed25519"
	Private   []byte // PKCS #8, DER
}

// Alias sends mail for an address, or for a whole domain (Local == ""), elsewhere.
type Alias struct {
	Address smtp.Address // Local "" is the domain's catch-all
	Targets []smtp.Address
}

// ---- administration ----

// AddDomain adds a domain and makes its DKIM keys (one RSA-2048, one Ed25519).
func (d *Directory) AddDomain(ctx context.Context, name string) (Domain, error) { panic("not built") }

// Domains lists the domains by name.
func (d *Directory) Domains(ctx context.Context) ([]Domain, error) { panic("not built") }

// Domain finds one domain by any spelling of its name; ErrNotFound.
func (d *Directory) Domain(ctx context.Context, name string) (Domain, error) { panic("not built") }

// RemoveDomain removes a domain without accounts and aliases; ErrInUse otherwise.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error { panic("not built") }

// AddAccount adds an account; its domain must live here. password may be "" for
// an account that nobody can log in to yet.
func (d *Directory) AddAccount(ctx context.Context, addr smtp.Address, password string) (Account, error) {
	panic("not built")
}

// Accounts lists the accounts by address.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) { panic("not built") }

// Account finds an account by its own address (no aliases, no detail); ErrNotFound.
func (d *Directory) Account(ctx context.Context, addr smtp.Address) (Account, error) {
	panic("not built")
}

// AccountByID finds an account by its number; ErrNotFound.
func (d *Directory) AccountByID(ctx context.Context, acct id.Account) (Account, error) {
	panic("not built")
}

// RemoveAccount removes an account from the directory. Its mailboxes are the
// caller's to remove (mailbox.Store.Remove), after this.
func (d *Directory) RemoveAccount(ctx context.Context, addr smtp.Address) (Account, error) {
	panic("not built")
}

// SetPassword replaces a password; cached credentials are forgotten at once.
func (d *Directory) SetPassword(ctx context.Context, addr smtp.Address, password string) error {
	panic("not built")
}

// SetQuota sets an account's quota in bytes, 0 for none.
func (d *Directory) SetQuota(ctx context.Context, addr smtp.Address, bytes int64) error {
	panic("not built")
}

// SetAlias adds or replaces an alias. A loop among local addresses is ErrAliasLoop.
func (d *Directory) SetAlias(ctx context.Context, a Alias) error { panic("not built") }

// Aliases lists the aliases by address.
func (d *Directory) Aliases(ctx context.Context) ([]Alias, error) { panic("not built") }

// RemoveAlias removes an alias; ErrNotFound.
func (d *Directory) RemoveAlias(ctx context.Context, addr smtp.Address) error { panic("not built") }

// ---- routing ----

// Target is one place that mail for an address goes.
type Target struct {
	Account Account      // a mailbox here when ID != 0
	Address smtp.Address // an address elsewhere otherwise
	Via     smtp.Address // the alias that led to it; zero when it was named itself
}

// IsLocal reports whether mail for the domain is delivered here.
func (d *Directory) IsLocal(ctx context.Context, domain string) (bool, error) { panic("not built") }

// Resolve follows aliases, catch-all and plus-addressing ("alice+x" is "alice")
// to the places where mail for addr goes, each once. "postmaster" without a
// domain, and postmaster at a local domain that has no such address, go to the
// first account that can take it (RFC 5321 section 4.5.1). ErrNotLocal,
// ErrNoUser, ErrAliasLoop.
func (d *Directory) Resolve(ctx context.Context, addr smtp.Address) ([]Target, error) {
	panic("not built")
}

// MaySend reports whether an account may use addr as reverse-path or From: its
// own address, with detail, or an alias that leads to it.
func (d *Directory) MaySend(ctx context.Context, acct id.Account, addr smtp.Address) (bool, error) {
	panic("not built")
}

// ---- logging in ----

// Attempt is who tries to log in from where.
type Attempt struct {
	Login  string // full address, any case
	Remote netip.Addr
	Door   string
}

// Authenticate checks a password. An unknown user costs and answers the same
// as a wrong password: ErrBadLogin. After failures from an address or for an
// account answers slow down, then ErrThrottled.
func (d *Directory) Authenticate(ctx context.Context, a Attempt, password string) (Account, error) {
	panic("not built")
}

// ScramSecret is what SCRAM-SHA-256 needs of an account (RFC 5802 section 3).
type ScramSecret struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Scram begins a SCRAM exchange: the account's secret, or for an unknown login a
// made-up one that is always the same for that login. ErrThrottled. The outcome
// goes to ScramDone.
func (d *Directory) Scram(ctx context.Context, a Attempt) (ScramSecret, error) { panic("not built") }

// ScramDone records the outcome of an exchange, and on success gives the account.
func (d *Directory) ScramDone(ctx context.Context, a Attempt, ok bool) (Account, error) {
	panic("not built")
}

type dirImpl struct{}
