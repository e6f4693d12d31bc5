package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// deliveredTo is the field by which a message that left through an alias is
// known again.
const deliveredTo = "Delivered-To:"

// internalDoor is the door of what the house writes itself.
const internalDoor = "internal"

// maxHead is the longest header that is understood, in bytes: one that is longer
// is kept as it is, and only its beginning is looked at for loops and for the From
// field.
const maxHead = 256 << 10

// Transfer takes one message's content. Not safe for concurrent use.
type Transfer struct {
	in       *Intake
	env      *envelope.Envelope
	route    *route
	incoming *mailbox.Incoming
	head     []byte // the header as the client sent it; what came so far until headDone
	headDone bool
	start    []byte // of the message, see keepStart
	skip     int    // length of the Return-Path line
	began    time.Time
	routed   time.Duration
}

// Begin starts the transfer of a message for env's recipients. It gives the
// envelope its ID and time, and writes the trace fields.
func (in *Intake) Begin(ctx context.Context, env *envelope.Envelope) (*Transfer, error) {
	now := in.opt.Clock.Now()
	if env.ID == "" {
		env.ID = id.New(now)
	}
	env.Received = now
	if env.Tenant == "" {
		env.Tenant = envelope.MainTenant
	}
	if env.Stream == "" {
		env.Stream = envelope.Person
	}
	r, err := in.route(ctx, env)
	if err != nil {
		return nil, err
	}
	begin := in.opt.Mailboxes.NewIncoming
	if env.Origin.Door == internalDoor {
		begin = in.opt.Mailboxes.NewOwn
	}
	incoming, err := begin(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	t := &Transfer{
		in: in, env: env, route: r, incoming: incoming, began: now, routed: in.opt.Clock.Now().Sub(now),
	}
	return t, nil
}

// maxSolicitTrace is the longest list of solicitation classes that has room in a
// line of the header (RFC 5322 section 2.1.1), in bytes.
const maxSolicitTrace = 900

// receivedField is the Received field for a message (RFC 5321 section 4.4). One that
// goes on must not need SMTPUTF8 for it alone (RFC 6531 section 3.7.3).
func receivedField(env *envelope.Envelope, hostname string, goesOn bool) string {
	var b strings.Builder
	b.WriteString("Received:")
	o := &env.Origin
	if o.Helo != "" {
		b.WriteString(" from " + o.Helo)
		if addr := o.Remote.Addr(); addr.IsValid() {
			b.WriteString(" (" + strings.TrimLeft(o.Name+" ", " ") + addressLiteral(addr) + ")")
		}
		b.WriteString("\r\n\t")
	} else {
		b.WriteByte(' ')
	}
	b.WriteString("by " + hostname + " (Posthouse)")
	space := " "
	if o.Protocol != "" {
		b.WriteString(" with " + o.Protocol)
		if env.Solicit != "" && len(env.Solicit) <= maxSolicitTrace { // RFC 3865 section 2.6
			space = "\r\n\t"
			b.WriteString(space + "(SOLICIT=" + env.Solicit + ")")
		}
	}
	b.WriteString(space + "id " + string(env.ID))
	if env.Priority != 0 {
		fmt.Fprintf(&b, " PRIORITY %d", env.Priority) // RFC 6710 section 4.1
	}
	if o.TLS != "" {
		b.WriteString("\r\n\t(" + o.TLS + ")")
	}
	if len(env.Rcpts) == 1 {
		// More recipients would be told of each other (RFC 5321 section 7.6).
		to := env.Rcpts[0].To
		if goesOn {
			to = to.WithALabels()
		}
		if !goesOn || to.IsASCII() {
			b.WriteString("\r\n\tfor " + to.Path())
		}
	}
	b.WriteString(";\r\n\t" + env.Received.Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n")
	return b.String()
}

// Write takes content, with dots removed.
func (t *Transfer) Write(p []byte) (int, error) {
	t.keepStart(p)
	var err error
	if t.headDone {
		_, err = t.incoming.Write(p)
	} else {
		err = t.writeHead(p)
	}
	if err != nil {
		return 0, storeError(err)
	}
	return len(p), nil
}

// headEnd finds the empty line that ends a header: the length of the header
// without it, or -1. The search begins at from.
func headEnd(b []byte, from int) int {
	if bytes.HasPrefix(b, []byte("\r\n")) || bytes.HasPrefix(b, []byte("\n")) {
		return 0
	}
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		if rest := b[from:]; bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n")) {
			return from
		}
	}
}

// Abort drops the message.
func (t *Transfer) Abort() { t.incoming.Abort() }

// Commit judges the whole message and makes it durable everywhere it goes. The
// error refuses it for all recipients; otherwise the errors are one per
// recipient, nil where it was filed. For a door that can answer only once, each
// recipient refused here is reported to the sender (report true).
func (t *Transfer) Commit(ctx context.Context, report bool) ([]error, error) {
	transferred := t.in.opt.Clock.Now()
	if err := t.endHead(); err != nil {
		t.Abort()
		return nil, storeError(err)
	}
	sum := t.incoming.Summary()
	if err := t.judge(ctx, sum); err != nil {
		t.Abort()
		t.rejected(ctx, sum, err)
		return nil, err
	}
	reserved, err := t.in.reserveHold(t.env, t.incoming.Size())
	if err != nil {
		t.Abort()
		t.rejected(ctx, sum, err)
		return nil, err
	}
	defer reserved.giveBack()
	t.checkRoom(ctx)
	t.env.TLSOptional = !t.env.RequireTLS && tlsOptional(t.head)
	f := &filing{
		in: t.in, env: t.env, route: t.route, skip: t.skip, incoming: t.incoming, reserved: reserved, mayRefuse: true,
		steps: []journal.Step{
			{Name: "commands", Took: max(0, t.began.Sub(t.env.Origin.Session.Time()))},
			{Name: "route", Took: t.routed},
			{Name: "transfer", Took: transferred.Sub(t.began)},
		},
	}
	if !t.env.Origin.Session.Valid() {
		f.steps = f.steps[1:]
	}
	return t.file(ctx, f, report, sum)
}

// file commits f. A mailbox that has filled since it was asked, or was removed, is
// found out by the transaction, which then writes nothing: the fate of the message
// is told once more without that mailbox.
func (t *Transfer) file(ctx context.Context, f *filing, report bool, sum *message.Summary) ([]error, error) {
	for {
		errs := t.route.results(len(t.env.Rcpts))
		if err := nowhere(errs); err != nil {
			t.in.drop(f)
			t.rejected(ctx, sum, err)
			return nil, err
		}
		f.refused()
		err := t.in.commitReporting(ctx, f, t.reports(errs, report, sum))
		if !errors.Is(err, errRefused) {
			return errs, err
		}
		f.leaveOut()
	}
}

// tlsOptional reads the TLS-Required field (RFC 8689 section 4.1). More than one
// is none.
func tlsOptional(head []byte) bool {
	values := message.Header(head).All("TLS-Required")
	return len(values) == 1 && strings.EqualFold(strings.TrimSpace(values[0]), "No")
}

// rejected tells the journal of a message that was refused.
func (t *Transfer) rejected(ctx context.Context, sum *message.Summary, err error) {
	s := status.Of(err)
	event := &journal.Event{
		Kind: journal.Rejected, Message: t.env.ID, Session: t.env.Origin.Session, Tenant: t.env.Tenant,
		Stream: string(t.env.Stream), From: t.env.From.String(), Text: s.Text, Code: s.Code,
		MessageID: sum.ID(),
	}
	if err := t.in.opt.Journal.Append(context.WithoutCancel(ctx), event); err != nil {
		t.in.opt.Log.Error("journal", "err", err)
	}
}

// judge refuses loops, and From fields that are not the account's own.
func (t *Transfer) judge(ctx context.Context, sum *message.Summary) error {
	if sum.Received-1 > t.in.opt.MaxHops { // one is ours
		return status.New(554, 4, 6, "Too many hops: the message is in a loop")
	}
	header := message.Header(t.head)
	for _, v := range header.All("Delivered-To") {
		if t.isRecipient(v) {
			return status.New(554, 4, 6, "The message was here before: it is in a loop")
		}
	}
	if err := t.ownerByHeader(ctx, header); err != nil {
		return err
	}
	if err := t.unwantedByHeader(header); err != nil {
		return err
	}
	if t.env.Origin.Account == 0 {
		return nil
	}
	return t.judgeAuthors(ctx)
}

// isRecipient reports whether a Delivered-To value is one of the recipients.
func (t *Transfer) isRecipient(value string) bool {
	a, err := smtp.ParseAddress(strings.Trim(strings.TrimSpace(value), "<>"))
	if err != nil {
		return false
	}
	for _, r := range t.env.Rcpts {
		if r.To.Key() == a.Key() {
			return true
		}
	}
	return false
}

// checkRoom marks the mailboxes in which the message does not fit, before its body
// is stored for nothing.
func (t *Transfer) checkRoom(ctx context.Context) {
	for _, l := range t.route.locals {
		if !l.forPostmaster(t.env) {
			l.quota, l.err = l.account.Quota, t.in.room(ctx, l.account, t.incoming.Size())
		}
	}
}

// nowhere is the error of a message that goes to none of its recipients.
func nowhere(errs []error) error {
	var first error
	for _, err := range errs {
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// results is the fate of each of n recipients: an error where the message goes
// nowhere at all for it.
func (r *route) results(n int) []error {
	errs := make([]error, n)
	copy(errs, r.errs)
	for _, l := range r.locals {
		if l.err != nil {
			for _, r := range l.rcpts {
				errs[r.index] = l.err
			}
		}
	}
	for _, l := range r.locals {
		if l.err == nil {
			for _, r := range l.rcpts {
				errs[r.index] = nil
			}
		}
	}
	for _, out := range r.remotes {
		errs[out.rcpt] = nil
	}
	return errs
}

// storeError puts a failure of the store into words. A full disk is 452 4.3.1
// (RFC 5321 section 4.2.2, RFC 3463 section 3.4).
func storeError(err error) error {
	if errors.Is(err, mailbox.ErrTooBig) {
		return status.Wrap(err, 552, 3, 4, "Message is too big")
	}
	if errors.Is(err, blob.ErrFull) {
		return status.Wrap(err, 452, 3, 1, "Out of storage for now, try again later")
	}
	return status.Of(err)
}
