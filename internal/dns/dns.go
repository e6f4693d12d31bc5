// Package dns asks the Domain Name System what mail needs to know. Resolver is
// the interface that the rest of the house uses; Client asks real servers; tests
// use nettest.DNS, a map of records.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrNotFound means that the name exists not at all, or has no record of the
// type asked for (NXDOMAIN or NODATA): a fact.
var ErrNotFound = errors.New("dns: no such record")

// ErrTemporary means that no answer could be had (SERVFAIL, timeout, refused).
var ErrTemporary = errors.New("dns: temporary failure")

// ErrAliases means that a name is an alias (CNAME) of an alias of an alias and so
// on, in a circle as a rule. It is an ErrTemporary: the answer is there, but somebody
// has to correct it.
var ErrAliases = fmt.Errorf("%w: aliases without end", ErrTemporary)

// Answer is what is common to all answers.
type Answer struct {
	TTL           time.Duration
	Authenticated bool // the AD bit, from a resolver that is trusted to set it
	// CNAME is the canonical name when the name asked for is an alias.
	CNAME string
}

// MX is one mail exchanger. Host is absolute, lower case, without the final dot;
// "" is the null MX (RFC 7505).
type MX struct {
	Preference uint16
	Host       string
}

// TLSA is one record of RFC 6698.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Resolver looks up records. Names may be U-labels or A-labels, with or without
// a final dot. Errors wrap ErrNotFound or ErrTemporary. Safe for concurrent use.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]MX, Answer, error)
	// LookupIP gives IPv6 and IPv4 addresses; when one family fails for now and
	// the other has addresses, those are given.
	LookupIP(ctx context.Context, name string) ([]netip.Addr, Answer, error)
	LookupTXT(ctx context.Context, name string) ([]string, Answer, error)
	LookupTLSA(ctx context.Context, name string) ([]TLSA, Answer, error)
	// LookupCNAME gives the name that an alias stands for, and follows no other:
	// the answer tells whether the alias itself is authenticated.
	LookupCNAME(ctx context.Context, name string) (string, Answer, error)
	LookupPTR(ctx context.Context, addr netip.Addr) ([]string, Answer, error)
}
