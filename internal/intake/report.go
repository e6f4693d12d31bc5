package intake

import (
	"context"

	"posthouse/internal/envelope"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/report"
)

// Report files a report to a sender, in a mailbox here or in the queue, and
// runs alsoTx in the same transaction, whose partitions include parts. A report
// that has nowhere to go is dropped, and loses its ID; alsoTx runs all the same.
// It implements queue.Reporter.
func (in *Intake) Report(ctx context.Context, d *report.DSN, alsoTx func(kv.Tx) error, parts kv.Partitions) error {
	f, err := in.reportFiling(ctx, d)
	if err != nil {
		return err
	}
	if f.route.leadsNowhere() {
		d.ID = ""
	}
	return in.commit(ctx, f, also{parts: parts, tx: alsoTx})
}

// reportFiling writes a report as a message with the null reverse-path. A report
// of a failure whose addressee is not here any more is for the postmaster.
func (in *Intake) reportFiling(ctx context.Context, d *report.DSN) (*filing, error) {
	d.To = d.To.WithALabels()
	t, err := in.Begin(ctx, reportEnvelope(d))
	if err != nil {
		return nil, err
	}
	if t.route.leadsNowhere() && d.Action() == report.Failed && !d.ForPostmaster() {
		t.Abort()
		d.To = report.Postmaster
		if t, err = in.Begin(ctx, reportEnvelope(d)); err != nil {
			return nil, err
		}
	}
	if d.ForPostmaster() && !in.copies.take(in.opt.Clock.Now()) {
		in.opt.Log.Warn("too many failures that nobody can be told of: no copy for the postmaster", "msg_id", string(d.Original.ID))
		t.route.clear()
	}
	d.ID = t.env.ID
	if _, err := d.WriteTo(t); err != nil {
		t.Abort()
		return nil, storeError(err)
	}
	t.incoming.Summary()
	return &filing{in: in, env: t.env, route: t.route, skip: t.skip, incoming: t.incoming}, nil
}

func reportEnvelope(d *report.DSN) *envelope.Envelope {
	env := &envelope.Envelope{
		ID: d.ID, Rcpts: []envelope.Rcpt{{To: d.To}}, Origin: envelope.Origin{Door: internalDoor},
		Tenant: envelope.MainTenant, Stream: envelope.Person, UTF8: d.NeedsUTF8(),
	}
	if o := d.Original; o != nil {
		if o.Tenant != "" {
			env.Tenant = o.Tenant
		}
		if env.Priority = o.Priority; o.PriorityBy != "" { // RFC 6710 section 4.6
			env.PriorityBy = envelope.PriorityParameter
		}
		env.RequireTLS = o.RequireTLS // RFC 8689 section 5
	}
	if d.ForPostmaster() {
		// The last one: if this fails as well, nobody is told (RFC 3461 section 6.1).
		env.Rcpts[0].Notify = envelope.NotifyNever
	}
	return env
}

// reported adds the events of a report that is filed together with the message.
func (f *filing) reported(d *report.DSN) {
	for i := range d.Rcpts {
		r := &d.Rcpts[i]
		f.outcomes = append(f.outcomes, &journal.Event{
			Kind: journal.Reported, Message: f.env.ID, From: f.env.From.String(), To: r.To.String(),
			Detail: map[string]string{"dsn": string(d.ID), "action": string(r.Action)},
		})
	}
}

// commitReporting commits f and, in the same transaction, reports.
func (in *Intake) commitReporting(ctx context.Context, f *filing, list []*report.DSN) error {
	var reports []*filing
	drop := func() {
		for _, r := range reports {
			in.release(r)
		}
	}
	var extra []also
	for _, d := range list {
		r, err := in.reportFiling(ctx, d)
		if err == nil {
			err = r.store(ctx)
		}
		if err != nil {
			in.drop(f)
			drop()
			return storeError(err)
		}
		reports = append(reports, r)
		if n := len(r.locals); r.references() > 0 {
			f.reported(d)
			extra = append(extra, also{parts: r.partitions(0, n), tx: func(tx kv.Tx) error { return r.writeTx(tx, 0, n) }})
		}
	}
	if err := in.commit(ctx, f, extra...); err != nil {
		drop()
		return err
	}
	for _, r := range reports {
		if r.references() > 0 {
			r.published()
		} else {
			in.release(r) // nowhere to go
		}
	}
	return nil
}
