// Package admin is what an operator can do to a house: the same operations,
// whether asked over the admin API of a running server or, when none runs,
// against the store itself.
package admin

import (
	"context"
	"errors"
	"time"

	"posthouse/internal/journal"
	"posthouse/internal/queue"
	"posthouse/internal/suppress"
)

// Errors that keep their meaning over the API.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("not valid")
	ErrConflict = errors.New("not possible now")
)

// API is everything an operator can ask for.
type API interface {
	AddDomain(ctx context.Context, name string) (Domain, error)
	Domains(ctx context.Context) ([]Domain, error)
	RemoveDomain(ctx context.Context, name string) error
	// DomainDNS is the records that should stand for a domain.
	DomainDNS(ctx context.Context, name string) ([]Record, error)
	// CheckDomain compares them with what stands.
	CheckDomain(ctx context.Context, name string) ([]Check, error)

	// AddAccount makes an account. An empty password is made up and given back.
	AddAccount(ctx context.Context, address, password string) (NewAccount, error)
	Accounts(ctx context.Context) ([]Account, error)
	RemoveAccount(ctx context.Context, address string) error
	// SetPassword with an empty password makes one up and gives it back.
	SetPassword(ctx context.Context, address, password string) (NewAccount, error)
	// SetQuota sets bytes; 0 is no quota.
	SetQuota(ctx context.Context, address string, bytes int64) error
	// SetOwnerSince says since when an address has been that of its owner; zero is
	// now.
	SetOwnerSince(ctx context.Context, address string, since time.Time) error

	// SetAlias adds or replaces an alias, and gives it as it stands now.
	SetAlias(ctx context.Context, a Alias) (Alias, error)
	Aliases(ctx context.Context) ([]Alias, error)
	RemoveAlias(ctx context.Context, address string) error

	// Queue lists a page of the entries that are selected, oldest first.
	Queue(ctx context.Context, sel queue.Selector, page queue.Page) ([]queue.Entry, error)
	QueueEntry(ctx context.Context, id string) (queue.Entry, error)
	// QueueDo retries, holds, releases or drops entries and tells how many.
	QueueDo(ctx context.Context, verb QueueVerb, sel queue.Selector) (int, error)
	// QueueReroute sends entries through a host, smtp://host:port, or with "mx" by
	// their domains again, and tells how many.
	QueueReroute(ctx context.Context, sel queue.Selector, to string) (int, error)
	// QueueSites shows the traffic with each set of mail hosts, and what is suspended.
	QueueSites(ctx context.Context) (queue.Traffic, error)
	// QueueSuspend stops the mail for a domain or a site, QueueResume lets it go on.
	QueueSuspend(ctx context.Context, s queue.Suspension) error
	QueueResume(ctx context.Context, s queue.Suspension) error

	// Suppressions lists addresses elsewhere that take no mail, those after the
	// given one, at most MaxSuppressions.
	Suppressions(ctx context.Context, after string) ([]suppress.Suppression, error)
	RemoveSuppression(ctx context.Context, address string) error

	// Route is the way of mail to a domain, with what is asked of its hosts.
	Route(ctx context.Context, domain string) (Route, error)
	// TLSReports reads the reports on TLS in the mailboxes of an account, the
	// latest first.
	TLSReports(ctx context.Context, address string) ([]TLSReport, error)

	// Trace finds the stories of a message by its ID or its Message-ID.
	Trace(ctx context.Context, id string) ([]Story, error)
}

// Domain is a domain that lives here.
type Domain struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Record is one DNS record.
type Record struct {
	Name    string `json:"name" doc:"absolute, with the final dot"`
	Type    string `json:"type"`
	Value   string `json:"value" doc:"as in a zone file, TXT without quotes"`
	Purpose string `json:"purpose" doc:"what it is for"`
	Needed  bool   `json:"needed" doc:"mail does not work well without it"`
}

// Verdict is the outcome of a check.
type Verdict string

// The verdicts.
const (
	Good      Verdict = "good"
	Missing   Verdict = "missing"
	Different Verdict = "different"
	Unknown   Verdict = "unknown" // no answer, or nothing that can be looked up
)

// Check is a record and what stands in its place.
type Check struct {
	Record
	Verdict Verdict  `json:"verdict"`
	Found   []string `json:"found,omitempty"`
	Note    string   `json:"note,omitempty"`
}

// Account is an account with what it holds.
type Account struct {
	Address  string    `json:"address"`
	Quota    int64     `json:"quota" doc:"bytes, 0 for none"`
	Used     int64     `json:"used" doc:"bytes"`
	Messages int64     `json:"messages"`
	Created  time.Time `json:"created"`
	// OwnerSince is since when the address has been its owner's.
	OwnerSince time.Time `json:"owner_since" doc:"since when the address has been its owner's"`
}

// NewAccount is an account with the password made for it, if one was made.
type NewAccount struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty" doc:"only when it was made up; it is not shown again"`
}

// Alias sends mail for an address elsewhere.
type Alias struct {
	Address string   `json:"address" doc:"an address, or @domain for the catch-all"`
	Targets []string `json:"targets" minItems:"1"`
	Missing []string `json:"missing,omitempty" readOnly:"true" doc:"targets in domains that live here at which there is nobody"`
}

// QueueVerb is what to do with queue entries.
type QueueVerb string

// The verbs.
const (
	QueueRetry   QueueVerb = "retry"
	QueueHold    QueueVerb = "hold"
	QueueRelease QueueVerb = "release"
	QueueDrop    QueueVerb = "drop"
)

// Story is everything that happened to one message.
type Story struct {
	Message string          `json:"message"`
	Events  []journal.Event `json:"events"`
}
