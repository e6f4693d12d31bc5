package queue

import (
	"context"
	"log/slog"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/classify"
	"posthouse/internal/clock"
	"posthouse/internal/courier"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/shaping"
)

// Defaults of Options.
const (
	DefaultFirstRetry  = 5 * time.Minute
	DefaultMaxRetry    = 4 * time.Hour
	DefaultExpireAfter = 5 * 24 * time.Hour
	DefaultDelayNotice = 4 * time.Hour
)

// Options of a Queue. All but the Reporter, the Observer, the Log and the
// limits are needed; a queue that is never started, for operators on a store at
// rest, needs no Courier.
type Options struct {
	DB       kv.Store
	Bodies   blob.Store
	Counts   *refs.Counter
	Journal  *journal.Journal
	Courier  Courier
	Clock    clock.Clock
	Log      *slog.Logger
	Hostname string // Reporting-MTA of DSNs
	// Reporter files DSNs. It may be set later, before Start, with SetReporter.
	// Without one, failures are only in the journal.
	Reporter Reporter
	Observer Observer
	// Sources are the addresses that mail leaves from; none: the system chooses.
	Sources []Source
	// Limits are what destinations take; see shaping.Limits. None: only the
	// courier's.
	Limits []shaping.Limit

	FirstRetry  time.Duration // after the first failure; each later interval is twice the one before
	MaxRetry    time.Duration // longest interval
	ExpireAfter time.Duration // when to give up, from the message's arrival
	DelayNotice time.Duration // when to tell the sender that it takes long; negative never
}

// Courier is what the queue needs of package courier.
type Courier interface {
	// Known is the way to a domain, if it need not be looked up. In place of a
	// domain, here and in Resolve, may stand the URL of a host that all is to go
	// through: "smtp://host:25".
	Known(domain string) (*courier.Route, bool)
	// Resolve finds the way to a domain. Errors are *status.Error: the outcome
	// for every recipient there.
	Resolve(ctx context.Context, domain string) (*courier.Route, error)
	// Deliver tries once. It answers one outcome per recipient, always. There are
	// never more at once than Limits and the Connections of Options.Limits say,
	// never more begun in any stretch of time than a MessageRate says, and never
	// more than one for a site that failed as a whole, until that succeeds.
	Deliver(ctx context.Context, t *courier.Transfer) []courier.Outcome
	// Limits are how many Deliver calls make sense at once.
	Limits() (perSite, total int)
}

// Reporter files reports to senders, where they live: in a mailbox here, or in
// the queue.
type Reporter interface {
	// Report files d and runs also in the same Update, whose partitions include
	// parts. also may run more than once; it runs even when the report itself
	// has nowhere to go (d is dropped then, and its ID ""). When Report returns nil both are
	// durable.
	Report(ctx context.Context, d *report.DSN, also func(tx kv.Tx) error, parts kv.Partitions) error
}

// Observer sees what the queue does, for metrics. Its methods must not block.
type Observer interface {
	// Depth is the number of entries in each state, after a change.
	Depth(ready, waiting, held int)
	// Attempt is one try for one recipient: "sent", "temporary" or "permanent".
	// The class is "" with sent.
	Attempt(result string, class classify.Class, took time.Duration)
}

func (o *Options) setDefaults() {
	dur := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	dur(&o.FirstRetry, DefaultFirstRetry)
	dur(&o.MaxRetry, DefaultMaxRetry)
	dur(&o.ExpireAfter, DefaultExpireAfter)
	dur(&o.DelayNotice, DefaultDelayNotice)
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
