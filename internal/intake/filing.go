package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/envelope"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/mailbox"
	"posthouse/internal/queue"
	"posthouse/internal/record"
)

// maxFiling bounds the index entries that one transaction writes, in bytes;
// half of what an engine must carry.
const maxFiling = kv.MaxBatch / 2

// filing is one message on its way into the store.
type filing struct {
	in       *Intake
	env      *envelope.Envelope
	route    *route
	incoming *mailbox.Incoming
	skip     int
	reserved *reservation // of a message to be held
	steps    []journal.Step
	// mayRefuse: a mailbox that does not take the message ends a transaction with
	// errRefused, and not as a fault of ours.
	mayRefuse bool

	storing   time.Time
	stored    mailbox.Stored
	locals    []*local
	filed     int // how many of locals have it
	delivered []mailbox.Delivered
	message   *queue.Message   // nil when nobody is elsewhere
	outcomes  []*journal.Event // of what is decided before the message is stored
	events    []*journal.Event
}

// errRefused ends a transaction in which a mailbox did not take the message; its
// local says why.
var errRefused = errors.New("intake: a mailbox did not take the message")

// leaveOut takes out the mailboxes that have refused the message.
func (f *filing) leaveOut() {
	f.locals = slices.DeleteFunc(f.locals, func(l *local) bool { return l.err != nil })
}

// isStored reports whether the body is durable.
func (f *filing) isStored() bool { return f.stored.Summary != nil }

// store makes the body durable.
func (f *filing) store(ctx context.Context) error {
	f.storing = f.in.opt.Clock.Now()
	for _, l := range f.route.locals {
		if l.err == nil {
			f.locals = append(f.locals, l)
		}
	}
	meta := &record.Meta{Kind: record.Message, Envelope: f.env, Skip: f.skip, Date: f.env.Received}
	for _, l := range f.locals {
		meta.Local = append(meta.Local, record.Local{
			Account: uint64(l.account.ID), Address: l.account.Address.String(), Mailbox: l.mailbox,
		})
	}
	for _, out := range f.route.remotes {
		meta.Queued = append(meta.Queued, record.Queued{
			To: out.To.String(), Prepend: out.Prepend, Notify: out.Notify, ORcpt: out.ORcpt,
			RRVS: out.RRVS, RRVSContinue: out.RRVSContinue,
		})
	}
	encoded, err := meta.Encode()
	if err != nil {
		return err
	}
	if f.stored, err = f.incoming.Commit(ctx, encoded); err != nil {
		return err
	}
	f.queueMessage()
	return nil
}

// queueMessage is what the queue gets for the recipients elsewhere.
func (f *filing) queueMessage() {
	if len(f.route.remotes) == 0 {
		return
	}
	s := f.stored.Summary
	f.message = &queue.Message{
		Envelope:  f.env,
		Body:      f.stored.Ref,
		Skip:      int64(f.skip),
		Size:      s.Size - int64(f.skip),
		EightBit:  s.EightBit,
		UTF8:      s.UTF8Header,
		BareLines: s.BareLines || s.NUL,
		MessageID: s.ID(),
	}
	for _, out := range f.route.remotes {
		f.message.Rcpts = append(f.message.Rcpts, out.Rcpt)
	}
}

// references is how many times the store will refer to the body.
func (f *filing) references() int {
	n := len(f.locals)
	if f.message != nil {
		n++
	}
	return n
}

// partitions is what a transaction for the mailboxes [from, to) writes.
func (f *filing) partitions(from, to int) kv.Partitions {
	parts := kv.Partitions{refs.Partition(f.stored.Ref), journal.Partition(f.env.ID)}
	for _, l := range f.locals[from:to] {
		parts = append(parts, kv.AccountPartition(uint64(l.account.ID)))
	}
	if f.message != nil && to == len(f.locals) {
		parts = append(parts, queue.Partition(f.env.ID))
	}
	return parts
}

// writeTx files the message in the mailboxes [from, to), and with the last of
// them in the queue and the journal.
func (f *filing) writeTx(tx kv.Tx, from, to int) error {
	if err := f.deliverTx(tx, from, to); err != nil {
		return err
	}
	last := to == len(f.locals)
	n := to - from
	if last && f.message != nil {
		if err := f.in.opt.Queue.EnqueueTx(tx, f.message); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		n++
	}
	if n > 0 {
		if err := f.in.opt.Counts.AddTx(tx, f.stored.Ref, n); err != nil {
			return fmt.Errorf("count: %w", err)
		}
	}
	if !last {
		return nil
	}
	f.tell()
	return f.in.opt.Journal.AppendTx(tx, f.events...)
}

// deliverTx files the message in the mailboxes [from, to): in all or, with
// errRefused, in none of them.
func (f *filing) deliverTx(tx kv.Tx, from, to int) error {
	f.delivered = f.delivered[:from] // the transaction may run again
	var refused error
	for _, l := range f.locals[from:to] {
		l.err = nil
		d, err := f.in.opt.Mailboxes.DeliverTx(tx, mailbox.Delivery{
			Account: l.account.ID, Mailbox: l.mailbox, Stored: f.stored, InternalDate: f.env.Received, Quota: l.quota,
		})
		switch {
		case f.mayRefuse && (errors.Is(err, mailbox.ErrOverQuota) || errors.Is(err, mailbox.ErrDeleted)):
			l.err, refused = mailboxError(err, int64(f.stored.Ref.Length), l.quota), errRefused
		case err != nil:
			return fmt.Errorf("deliver to %s: %w", l.account.Address, err)
		default:
			f.delivered = append(f.delivered, d)
		}
	}
	return refused
}

// tell writes the message's story so far.
func (f *filing) tell() {
	now := f.in.opt.Clock.Now()
	from := f.env.From.String()
	accepted := &journal.Event{
		At: now, Kind: journal.Accepted, Message: f.env.ID, Session: f.env.Origin.Session,
		Tenant: f.env.Tenant, Stream: string(f.env.Stream), From: from, Code: 250,
		MessageID: f.stored.Summary.ID(),
		Steps:     append(f.steps[:len(f.steps):len(f.steps)], journal.Step{Name: "store", Took: now.Sub(f.storing)}),
		Detail:    f.origin(),
	}
	f.events = append(f.events[:0], accepted)
	for i, l := range f.locals {
		f.events = append(f.events, &journal.Event{
			At: now, Kind: journal.Delivered, Message: f.env.ID, From: from, To: l.account.Address.String(),
			Detail: map[string]string{
				"mailbox": l.mailbox, "uid": strconv.FormatUint(uint64(f.delivered[i].UID), 10),
			},
		})
	}
	for _, e := range f.outcomes {
		e.At = now
		f.events = append(f.events, e)
	}
	var until map[string]string
	if f.env.HoldUntil.After(now) {
		until = map[string]string{"until": f.env.HoldUntil.UTC().Format(time.RFC3339)}
	}
	for _, out := range f.route.remotes {
		f.events = append(f.events, &journal.Event{
			At: now, Kind: journal.Queued, Message: f.env.ID, From: from, To: out.To.String(), Detail: until,
		})
	}
}

// origin is where the message came from, for its timeline.
func (f *filing) origin() map[string]string {
	o := &f.env.Origin
	d := map[string]string{"door": o.Door, "size": strconv.FormatInt(f.stored.Summary.Size, 10)}
	for k, v := range map[string]string{"helo": o.Helo, "protocol": o.Protocol, "tls": o.TLS, "login": o.Login} {
		if v != "" {
			d[k] = v
		}
	}
	if f.env.Priority != 0 {
		d["priority"] = strconv.Itoa(f.env.Priority) // RFC 6710 section 4.1
	}
	if o.Remote.IsValid() {
		d["client"] = o.Remote.Addr().String()
	}
	return d
}

// published tells everybody who waits, after the transaction is durable.
func (f *filing) published() {
	for _, l := range f.locals {
		f.in.opt.Mailboxes.Published(l.account.ID)
	}
	if f.message != nil {
		f.reserved.handOver(func() { f.in.opt.Queue.Enqueued(f.message) })
	}
	f.in.opt.Journal.Published(f.events...)
}
