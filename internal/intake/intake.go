// Package intake is what happens between the last byte of a message and its
// 250: check, route, file, commit. One transaction makes a message durable
// everywhere it goes: in every mailbox here, in the queue for every recipient
// elsewhere, in the journal.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/directory"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/mailbox"
	"posthouse/internal/queue"
	"posthouse/internal/report"
	"posthouse/internal/smtp"
	"posthouse/internal/space"
	"posthouse/internal/status"
)

// DefaultMaxHops is how many Received fields a message may have before it is
// taken to be in a loop (RFC 5321 section 6.3 asks for at least 100).
const DefaultMaxHops = 100

// Options of an Intake. All but Bounds, Space, Catch, IsHere, MaxHops and Log are needed.
type Options struct {
	DB        kv.Store
	Counts    *refs.Counter
	Mailboxes *mailbox.Store
	Directory *directory.Directory
	Queue     queue.Enqueuer
	Journal   *journal.Journal
	Clock     clock.Clock
	Log       *slog.Logger
	Hostname  string
	MaxHops   int
	Bounds
	// Space, when set, says at MAIL whether there is room for the message.
	Space *space.Reserve
	// Catch, when set, is where mail for elsewhere is filed instead of being
	// sent: "posthouse dev" lets nothing out of the house.
	Catch *Catch
	// IsHere tells whether an address is this house's: a literal of it is another
	// spelling of Hostname.
	IsHere func(netip.Addr) bool
}

// Bounds are what may change while mail comes in.
type Bounds struct {
	// HoldQuota bounds what one account may have held until a time.
	HoldQuota HoldQuota
	// NoSoliciting are classes of solicitations that are refused (RFC 3865).
	NoSoliciting []string
}

// Catch is a mailbox that takes mail for elsewhere.
type Catch struct {
	Account id.Account
	Mailbox string
}

// Intake takes messages in. Safe for concurrent use.
type Intake struct {
	opt     Options
	bounds  atomic.Pointer[Bounds]
	copies  copies
	holding reservations
}

// New makes an Intake.
func New(opt Options) *Intake {
	if opt.MaxHops == 0 {
		opt.MaxHops = DefaultMaxHops
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	in := &Intake{opt: opt}
	in.SetBounds(opt.Bounds)
	return in
}

// SetBounds holds for messages that begin from now on.
func (in *Intake) SetBounds(b Bounds) { in.bounds.Store(&b) }

// Mail judges the reverse-path of env, whose Origin and Size are filled in, and
// whether there is room for a message now.
func (in *Intake) Mail(ctx context.Context, env *envelope.Envelope) error {
	if err := in.opt.Space.Fits(space.Mail, env.Size); err != nil {
		return storeError(err) // 452: RFC 1870 section 6.1
	}
	if env.Origin.Account == 0 {
		return nil
	}
	if err := in.mayHold(env, env.Size); err != nil {
		return err
	}
	if env.From.IsZero() {
		// The null reverse-path belongs to nobody; users' programs send
		// disposition notifications with it (RFC 8098 section 3).
		return nil
	}
	own, err := in.opt.Directory.MaySend(ctx, env.Origin.Account, env.From)
	if err != nil {
		return status.Internal(err)
	}
	if !own {
		return status.New(553, 7, 1, "Sender address is not yours to use")
	}
	return nil
}

// Rcpt judges one recipient: whether mail for it is delivered or relayed for
// this client, and whether it would fit.
func (in *Intake) Rcpt(ctx context.Context, env *envelope.Envelope, r envelope.Rcpt) error {
	targets, err := in.resolve(ctx, r.To)
	switch {
	case errors.Is(err, directory.ErrNotLocal):
		if env.Origin.Account == 0 {
			return status.New(550, 7, 1, "Relaying denied: log in to send to other domains")
		}
		if !strings.ContainsAny(r.To.Domain, ".[") && in.opt.Catch == nil {
			return status.New(554, 1, 2, "The domain is not fully qualified") // RFC 6409 section 4.2
		}
		return nil
	case err != nil:
		return RouteError(err)
	case isPostmaster(r.To):
		return nil
	}
	if err := in.unwanted(env); err != nil {
		return err
	}
	if err := sameOwner(r, targets); err != nil {
		return err
	}
	// One target with room is enough: for the others the sender gets a report.
	var full error
	for _, t := range targets {
		if t.Account.ID == 0 {
			return nil
		}
		err := in.room(ctx, t.Account, env.Size)
		if err == nil {
			return nil
		}
		full = err
	}
	return full
}

// RouteError puts a failed directory.Resolve into words.
func RouteError(err error) error {
	switch {
	case errors.Is(err, directory.ErrNoUser):
		return noSuchUser(err)
	case errors.Is(err, directory.ErrAliasLoop):
		return status.Wrap(err, 554, 4, 6, "Address leads to itself")
	case errors.Is(err, directory.ErrNotLocal):
		return status.Wrap(err, 550, 7, 1, "Domain does not live here")
	}
	return status.Of(err)
}

// room tells whether size more bytes fit into an account: nil, 452 4.2.2 when
// they do not now, 552 5.2.2 when they never will.
func (in *Intake) room(ctx context.Context, a directory.Account, size int64) error {
	if a.Quota == 0 {
		return nil
	}
	usage, err := in.opt.Mailboxes.Usage(ctx, a.ID)
	if err == nil && usage.Bytes < a.Quota && usage.Bytes+size <= a.Quota {
		return nil
	}
	if err == nil {
		err = mailbox.ErrOverQuota
	}
	return mailboxError(err, size, a.Quota)
}

// mailboxError puts into words why a mailbox of that quota, in bytes, does not take
// a message.
func mailboxError(err error, size, quota int64) error {
	switch {
	case errors.Is(err, mailbox.ErrDeleted): // removed since the recipient was taken
		return noSuchUser(err)
	case !errors.Is(err, mailbox.ErrOverQuota):
		return status.Internal(err)
	case size > quota:
		return status.New(552, 2, 2, "Message is larger than the mailbox may hold")
	}
	return status.New(452, 2, 2, "Mailbox is full")
}

func noSuchUser(cause error) error { return status.Wrap(cause, 550, 1, 1, "No such user here") }

// local is one mailbox a message goes to.
type local struct {
	account directory.Account
	mailbox string
	rcpts   []localRcpt // that led here
	quota   int64       // bytes; 0 takes the message however full the mailbox is
	err     error       // refused: over quota, or removed
}

// localRcpt is a recipient of the envelope that leads to a mailbox.
type localRcpt struct {
	index int           // in the envelope
	final envelope.Rcpt // as passed on by the alias, if it was one
}

// remote is one recipient elsewhere.
type remote struct {
	queue.Rcpt
	rcpt int
}

// route is where a message goes: every account once, every address elsewhere
// once.
type route struct {
	locals   []*local
	remotes  []*remote
	errs     []error // per recipient: could not be routed
	expanded []bool  // per recipient: an alias with several targets
}

func (in *Intake) route(ctx context.Context, env *envelope.Envelope) (*route, error) {
	n := len(env.Rcpts)
	r := &route{errs: make([]error, n), expanded: make([]bool, n)}
	accounts := make(map[id.Account]*local, n)
	elsewhere := make(map[string]bool)
	held := in.holds(env, env.Received)
	for i, rcpt := range env.Rcpts {
		if held {
			// The queue brings it to us again at its time (see Inward).
			r.addRemote(elsewhere, i, rcpt, directory.Target{Address: rcpt.To})
			continue
		}
		targets, err := in.resolve(ctx, rcpt.To)
		if errors.Is(err, directory.ErrNotLocal) {
			targets, err = []directory.Target{{Address: rcpt.To}}, nil
		}
		if err != nil {
			// Accepted at RCPT and gone since.
			r.errs[i] = RouteError(err)
			continue
		}
		r.expanded[i] = len(targets) > 1
		for _, t := range targets {
			final := passOn(rcpt, t, r.expanded[i])
			if t.Account.ID == 0 {
				r.addRemote(elsewhere, i, final, t)
				continue
			}
			r.addLocal(accounts, localRcpt{i, final}, t.Account, "INBOX")
		}
	}
	if in.opt.Catch != nil && len(r.remotes) > 0 {
		if err := in.catch(ctx, r, accounts); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// leadsNowhere reports whether there is no place for the message.
func (r *route) leadsNowhere() bool { return len(r.locals)+len(r.remotes) == 0 }

// clear takes all places away.
func (r *route) clear() { r.locals, r.remotes = nil, nil }

// passOn is the recipient that an address becomes on its way to one of its
// targets, by the rules for aliases of RFC 3461 section 5.2.7.
func passOn(r envelope.Rcpt, t directory.Target, expanded bool) envelope.Rcpt {
	if t.Via == (smtp.Address{}) {
		return r
	}
	if r.ORcpt == "" {
		// Allowed by section 5.2.1(d): the sender knows this address only.
		r.ORcpt = report.AddressType(r.To) + ";" + r.To.String()
	}
	if expanded {
		r = r.WithoutSuccess()
	}
	if r.To = t.Address; t.Account.ID != 0 {
		r.To = t.Account.Address
	}
	return r
}

func (r *route) addLocal(seen map[id.Account]*local, rcpt localRcpt, a directory.Account, box string) {
	l := seen[a.ID]
	if l == nil {
		l = &local{account: a, mailbox: box}
		seen[a.ID] = l
		r.locals = append(r.locals, l)
	}
	l.rcpts = append(l.rcpts, rcpt)
}

func (r *route) addRemote(seen map[string]bool, rcpt int, final envelope.Rcpt, t directory.Target) {
	if key := t.Address.Key(); seen[key] {
		return
	} else {
		seen[key] = true
	}
	to := remote{rcpt: rcpt, Rcpt: queue.Rcpt{Rcpt: final}}
	if t.Via != (smtp.Address{}) {
		// What the sender knew was the owner of the alias (RFC 7293).
		to.RRVS, to.RRVSContinue = time.Time{}, false
		// Mail that an alias sends out of the house carries the alias, so that
		// it is known again if it comes back.
		to.Prepend = deliveredTo + " " + t.Via.WithALabels().String() + "\r\n"
	}
	r.remotes = append(r.remotes, &to)
}

// catch turns the recipients elsewhere into one local delivery.
func (in *Intake) catch(ctx context.Context, r *route, accounts map[id.Account]*local) error {
	account, err := in.opt.Directory.AccountByID(ctx, in.opt.Catch.Account)
	if err != nil {
		return status.Internal(err)
	}
	l := &local{account: account, mailbox: in.opt.Catch.Mailbox}
	for _, out := range r.remotes {
		l.rcpts = append(l.rcpts, localRcpt{out.rcpt, out.Rcpt.Rcpt})
	}
	r.locals = append(r.locals, l)
	r.remotes = nil
	return nil
}
