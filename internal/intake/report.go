package intake

import (
	"context"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/message"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// Report files a report to a sender, in a mailbox here or in the queue, and
// runs alsoTx in the same transaction, whose partitions include parts. A report
// that has nowhere to go is dropped; alsoTx runs all the same. It implements
// queue.Reporter.
func (in *Intake) Report(ctx context.Context, d *report.DSN, alsoTx func(kv.Tx) error, parts kv.Partitions) error {
	f, err := in.reportFiling(ctx, d)
	if err != nil {
		return err
	}
	return in.commit(ctx, f, also{parts: parts, tx: alsoTx})
}

// reportFiling writes a report as a message with the null reverse-path.
func (in *Intake) reportFiling(ctx context.Context, d *report.DSN) (*filing, error) {
	env := &envelope.Envelope{
		ID: d.ID, Rcpts: []envelope.Rcpt{{To: d.To}}, Origin: envelope.Origin{Door: "internal"},
		Tenant: envelope.MainTenant, Stream: envelope.Person,
	}
	if d.Original != nil && d.Original.Tenant != "" {
		env.Tenant = d.Original.Tenant
	}
	t, err := in.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	d.ID = env.ID
	if _, err := d.WriteTo(t); err != nil {
		t.Abort()
		return nil, storeError(err)
	}
	t.incoming.Summary()
	return &filing{in: in, env: env, route: t.route, skip: t.skip, incoming: t.incoming}, nil
}

// refusals is the report on the recipients that were refused after the door had
// taken them; nil when there are none, or nobody to tell.
func (t *Transfer) refusals(errs []error, sum *message.Summary) *report.DSN {
	if t.env.From.IsZero() {
		return nil // never a report on a report (RFC 5321 section 6.1)
	}
	now := t.in.opt.Clock.Now()
	d := &report.DSN{
		ID: id.New(now), Hostname: t.in.opt.Hostname, To: t.env.From, Date: now,
		Original: t.env, MessageID: sum.Envelope.MessageID,
		Message: append(t.head[:len(t.head):len(t.head)], "\r\n"...),
	}
	d.Message = d.Message[:min(len(d.Message), report.MaxOriginal)]
	for i, err := range errs {
		if err == nil {
			continue
		}
		s := status.Of(err)
		d.Rcpts = append(d.Rcpts, report.Rcpt{
			Rcpt: t.env.Rcpts[i], Action: report.Failed,
			Status: status.Enhanced{Class: 5, Subject: s.Enhanced.Subject, Detail: s.Enhanced.Detail},
			Code:   s.Code, Text: s.Text, LastAttempt: now, Attempts: 1,
		})
	}
	if len(d.Rcpts) == 0 {
		return nil
	}
	return d
}

// commitReporting commits f and, in the same transaction, the report on the
// recipients that were refused.
func (in *Intake) commitReporting(ctx context.Context, f *filing, d *report.DSN) error {
	if d == nil {
		return in.commit(ctx, f)
	}
	r, err := in.reportFiling(ctx, d)
	if err != nil {
		f.incoming.Abort()
		return err
	}
	if err := r.store(ctx); err != nil {
		f.incoming.Abort()
		return storeError(err)
	}
	if r.references() == 0 {
		in.release(r)
		return in.commit(ctx, f)
	}
	n := len(r.locals)
	err = in.commit(ctx, f, also{parts: r.partitions(0, n), tx: func(tx kv.Tx) error { return r.writeTx(tx, 0, n) }})
	if err != nil {
		in.release(r)
		return err
	}
	r.published()
	return nil
}
