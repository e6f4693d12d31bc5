package intake

import (
	"context"
	"io"
	"strings"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/queue"
	"posthouse/internal/status"
)

// inwardSite is the site of recipients of this house, to the queue.
const inwardSite = "here"

// inwardDoor is where released mail comes from, to the intake.
const inwardDoor = "queue"

// Inward is the queue's courier of a house that may have mail for itself in its
// queue: what a sender held until a time (FUTURERELEASE, RFC 4865). It is taken in
// like mail from another host, as a message with an ID of its own, so that aliases
// and mailboxes are those of the day it is released.
type Inward struct {
	queue.Courier // for everybody else
	in            *Intake
}

// NewInward makes an Inward; SetIntake before it is used.
func NewInward(out queue.Courier) *Inward { return &Inward{Courier: out} }

// SetIntake says where mail for this house goes.
func (w *Inward) SetIntake(in *Intake) { w.in = in }

// isHere reports whether a canonical domain, as the queue has it, is ours.
func (w *Inward) isHere(domain string) bool {
	if domain == "" || w.in.isHouse(domain) {
		return true // "postmaster" alone, and the house itself
	}
	local, err := w.in.opt.Directory.IsLocal(context.Background(), domain)
	return local && err == nil
}

// Known is queue.Courier.
func (w *Inward) Known(domain string) (*courier.Route, bool) {
	if w.isHere(domain) {
		return &courier.Route{Site: inwardSite}, true
	}
	return w.Courier.Known(domain)
}

// Resolve is queue.Courier.
func (w *Inward) Resolve(ctx context.Context, domain string) (*courier.Route, error) {
	if w.isHere(domain) {
		return &courier.Route{Site: inwardSite}, nil
	}
	return w.Courier.Resolve(ctx, domain)
}

// Deliver is queue.Courier.
func (w *Inward) Deliver(ctx context.Context, t *courier.Transfer) []courier.Outcome {
	if t.Route.Site != inwardSite {
		return w.Courier.Deliver(ctx, t)
	}
	outs := make([]courier.Outcome, len(t.Rcpts))
	env := inwardEnvelope(t)
	var taken []int // of t.Rcpts
	for i, r := range t.Rcpts {
		if err := w.in.Rcpt(ctx, env, r); err != nil {
			outs[i] = w.outcome(err)
			continue
		}
		taken, env.Rcpts = append(taken, i), append(env.Rcpts, r)
	}
	if len(taken) == 0 {
		return outs
	}
	errs, err := w.take(ctx, env, t)
	for n, i := range taken {
		switch {
		case err != nil:
			outs[i] = w.outcome(err)
		case errs[n] != nil:
			outs[i] = w.outcome(errs[n])
		default:
			outs[i] = w.taken(env.ID)
		}
	}
	return outs
}

// inwardEnvelope is the envelope of what is released, without recipients.
func inwardEnvelope(t *courier.Transfer) *envelope.Envelope {
	env := &envelope.Envelope{
		From: t.From, UTF8: t.UTF8, Size: t.Size, Ret: t.Ret, EnvID: t.EnvID, RequireTLS: t.RequireTLS, TLSOptional: t.TLSOptional,
		HoldRequest: t.HoldRequest, DeliverBy: t.DeliverBy, ByMode: t.ByMode, ByTrace: t.ByTrace, Priority: t.Priority, PriorityBy: t.PriorityBy, Solicit: t.Solicit, Origin: envelope.Origin{Door: inwardDoor},
	}
	if t.Binary {
		env.Body = envelope.BodyBinary
	}
	return env
}

// take takes the message in; the errors are one per recipient of env.
func (w *Inward) take(ctx context.Context, env *envelope.Envelope, t *courier.Transfer) ([]error, error) {
	x, err := w.in.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	content := io.MultiReader(strings.NewReader(t.Prepend), io.NewSectionReader(t.Body, t.Skip, t.Size))
	if _, err := io.Copy(x, content); err != nil {
		x.Abort()
		return nil, err
	}
	if err := blob.Check(t.Body); err != nil {
		x.Abort()
		w.in.opt.Log.Error("message is damaged in the store", "msg_id", string(t.ID), "err", err)
		return nil, status.New(451, 3, 0, "The message is damaged in the store")
	}
	return x.Commit(ctx, false)
}

func (w *Inward) taken(as id.ID) courier.Outcome {
	return courier.Outcome{
		Code: 250, Enhanced: status.Enhanced{Class: 2, Subject: 1, Detail: 5}, Text: "Released, taken in as " + string(as),
		Host: w.in.opt.Hostname, DSN: true, DeliverBy: true,
	}
}

func (w *Inward) outcome(err error) courier.Outcome {
	o := courier.FromError(err)
	o.Host = w.in.opt.Hostname
	return o
}
