// Package greylist tells senders that are seen for the first time to come again,
// as RFC 6647 describes: mail servers do, most senders of spam do not. A triplet
// of client network, reverse-path and recipient waits once; a network whose mail
// came again often enough is known, and waits no more.
//
// What it remembers may be lost without harm (somebody waits once more), so it
// is written in batches behind the answers. Rows are keyed by time, so that old
// ones go in ranges.
package greylist

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/kv"
	"posthouse/internal/listen"
	"posthouse/internal/smtp"
)

// Bounds of the options, which decide how many time buckets are looked through.
const (
	MaxWindow   = 7 * 24 * time.Hour
	MaxLifetime = 366 * 24 * time.Hour
)

// Options of a List. All but Log are needed.
type Options struct {
	DB      kv.Store
	Clock   clock.Clock
	Log     *slog.Logger
	Domains []smtp.DomainPattern // whose recipients are protected
	// Delay is how long a new triplet has to wait; the attempt that counts must
	// come within Window (at most MaxWindow), and then it passes for Lifetime (at
	// most MaxLifetime) after it was last seen.
	Delay, Window, Lifetime time.Duration
	// Learn is how many triplets of a network must have come again before it
	// passes at once; 0 or less: never.
	Learn int
}

// Triplet is what is remembered of an attempt.
type Triplet struct {
	Remote   netip.Addr
	From, To smtp.Address // From is zero for the null reverse-path
}

// Result is why a triplet may pass, or not.
type Result string

// The results.
const (
	Exempt  Result = "exempt"  // the recipient's domain is not protected
	Known   Result = "known"   // the network is
	Passed  Result = "passed"  // it has come again
	Waiting Result = "waiting" // it is to come again
)

// Decision is the answer about a triplet.
type Decision struct {
	Result Result
	Wait   time.Duration // how long still, for Waiting
}

// List is the greylist of a house. Safe for concurrent use.
type List struct {
	opt   Options
	dirty chan struct{} // holds a value when there is something to write

	writing sync.Mutex // held by the one who writes
	mu      sync.Mutex
	pending map[string][]byte // rows not yet written
	batch   map[string][]byte // rows being written; not changed any more
	known   map[netip.Prefix]record
	floors  map[byte]uint32 // per kind of row, the first bucket that may hold rows
}

// New makes a list; its Run must run.
func New(opt Options) *List {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &List{
		opt: opt, dirty: make(chan struct{}, 1), pending: make(map[string][]byte),
		known: make(map[netip.Prefix]record), floors: make(map[byte]uint32),
	}
}

// Protects reports whether the recipients of a domain are protected.
func (l *List) Protects(domain string) bool {
	domain = smtp.CanonicalDomain(domain)
	for _, p := range l.opt.Domains {
		if p.Matches(domain) {
			return true
		}
	}
	return false
}

// Check judges a triplet and remembers it.
func (l *List) Check(ctx context.Context, t Triplet) (Decision, error) {
	if !l.Protects(t.To.Domain) {
		return Decision{Result: Exempt}, nil
	}
	now, network := l.opt.Clock.Now(), listen.Neighbourhood(t.Remote)
	if l.knows(network, now) {
		return Decision{Result: Known}, l.relieve(ctx)
	}
	id := t.id(network)
	var past struct{ network, passed, waiting record }
	err := l.opt.DB.View(ctx, func(r kv.Reader) (err error) {
		if past.network, err = l.latest(r, rowNetwork, prefixID(network), now); err != nil {
			return err
		}
		if past.passed, err = l.latest(r, rowPassed, id, now); err != nil {
			return err
		}
		past.waiting, err = l.latest(r, rowWaiting, id, now)
		return err
	})
	if err != nil {
		return Decision{}, err
	}
	age := now.Sub(past.waiting.at)
	d := Decision{Result: Passed}
	switch {
	case l.learned(past.network):
		l.remember(network, past.network)
		l.knows(network, now) // notes that it was seen
		d.Result = Known
	case past.passed.exists():
		if now.Sub(past.passed.at) > l.freshFor() {
			l.put(rowPassed, id, record{at: now})
		}
	case past.waiting.exists() && age >= l.opt.Delay:
		l.put(rowPassed, id, record{at: now})
		l.credit(network, past.network, now)
	case past.waiting.exists():
		d = Decision{Waiting, l.opt.Delay - age}
	default:
		l.put(rowWaiting, id, record{at: now})
		d = Decision{Waiting, l.opt.Delay}
	}
	return d, l.relieve(ctx)
}

// id is a triplet as it is kept: its addresses are nobody's business.
func (t Triplet) id(network netip.Prefix) []byte {
	text := network.String() + "\x00" + t.From.Key() + "\x00" + t.To.Key()
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

func prefixID(p netip.Prefix) []byte {
	id, _ := p.MarshalBinary() // cannot fail
	return id
}
