// Package directory knows who is who and who may what: domains, accounts,
// aliases, credentials, quotas. It is one partition of the store with a cache
// in front of it.
package directory

import (
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
	// Trusted names clients that are not slowed down after failed logins; nil: none.
	Trusted func(netip.Addr) bool
	// Bodies and Counts, when set, receive a copy of every object of the
	// directory, so that rebuild can make it again (package record).
	Bodies blob.Store
	Counts *refs.Counter
	// ScramIterations is the cost of a new SCRAM secret, which clients bear at
	// each login; default 32768 (Cyrus SASL clients refuse more than 65536), at least 4096 (RFC 7677 section 4).
	ScramIterations int
	// OnCreate runs in the transaction that creates an account (mailboxes are
	// made there); it must only write to the account's partition.
	OnCreate func(tx kv.Tx, acct id.Account) error
}

// Account is one account.
type Account struct {
	ID      id.Account
	Tenant  string
	Address smtp.Address // as given when it was created
	Quota   int64        // bytes; 0 is none
	Created time.Time
	// OwnerSince is since when the address has been that of whom it belongs to:
	// since it was created, unless an operator knows better.
	OwnerSince time.Time
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

// Target is one place that mail for an address goes.
type Target struct {
	Account Account      // a mailbox here when ID != 0
	Address smtp.Address // an address elsewhere otherwise
	Via     smtp.Address // the alias that led to it; zero when it was named itself
}

// Attempt is who tries to log in from where.
type Attempt struct {
	Login  string // full address, any case
	Remote netip.Addr
	Door   string
}

// ScramSecret is what SCRAM needs of an account (RFC 5802 section 3).
type ScramSecret struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}
