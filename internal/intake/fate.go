package intake

import (
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/message"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// reports is what the sender is told when a message is taken in: who was refused
// after the door had taken the recipient, and of which deliveries here it asked to
// hear. A door that answers for each recipient tells of refusals itself (not
// tellRefusals), but for members of an alias of which others got it.
func (t *Transfer) reports(errs []error, tellRefusals bool, sum *message.Summary) []*report.DSN {
	if t.env.From.IsZero() {
		return nil // never a report on a report (RFC 3461 section 5.2)
	}
	var list []*report.DSN
	for _, rcpts := range [][]report.Rcpt{t.refusals(errs, tellRefusals), t.deliveries(errs), t.expansions(errs)} {
		if len(rcpts) > 0 {
			list = append(list, t.newReport(rcpts, sum))
		}
	}
	return list
}

func (t *Transfer) newReport(rcpts []report.Rcpt, sum *message.Summary) *report.DSN {
	now := t.in.opt.Clock.Now()
	d := &report.DSN{
		ID: id.New(now), Hostname: t.in.opt.Hostname, To: t.env.From, Date: now,
		Original: t.env, MessageID: sum.ID(), Rcpts: rcpts,
		Message: t.start, Whole: len(t.start) <= report.MaxOriginal,
	}
	if t.start == nil {
		d.Message, d.Whole = append(t.head[:len(t.head):len(t.head)], "\r\n"...), false
	}
	d.Message = d.Message[:min(len(d.Message), report.MaxOriginal)]
	for i := range d.Rcpts {
		d.Rcpts[i].LastAttempt, d.Rcpts[i].Attempts = now, 1
	}
	return d
}

// refusals are the recipients, and the members of aliases, to whom the message
// does not go.
func (t *Transfer) refusals(errs []error, tell bool) []report.Rcpt {
	var list []report.Rcpt
	refuse := func(r envelope.Rcpt, err error) {
		if r.Notifies(envelope.NotifyFailure) {
			list = append(list, refusal(r, err))
		}
	}
	for i, err := range t.route.errs {
		if err != nil && tell {
			refuse(t.env.Rcpts[i], err)
		}
	}
	for _, l := range t.route.locals {
		for _, r := range l.rcpts {
			if l.err != nil && (tell || errs[r.index] == nil) {
				refuse(r.final, l.err)
			}
		}
	}
	return list
}

func refusal(r envelope.Rcpt, err error) report.Rcpt {
	s := status.Of(err)
	return report.Rcpt{
		Rcpt: r, Action: report.Failed, Code: s.Code, Text: s.Text,
		Status: status.Enhanced{Class: 5, Subject: s.Enhanced.Subject, Detail: s.Enhanced.Detail},
	}
}

// deliveries are the mailboxes of which the sender wants to know that the message
// is in them (RFC 3461 section 5.2.3).
func (t *Transfer) deliveries(errs []error) []report.Rcpt {
	var list []report.Rcpt
	for _, l := range t.route.locals {
		for _, r := range l.rcpts {
			if l.err == nil && errs[r.index] == nil && r.final.Notifies(envelope.NotifySuccess) {
				list = append(list, report.Rcpt{
					Rcpt: r.final, Action: report.Delivered, Status: status.Enhanced{Class: 2, Subject: 1, Detail: 5},
				})
			}
		}
	}
	return list
}

// expansions are the aliases of which the sender wants to know that the message
// went to all their addresses (RFC 3461 section 5.2.7.3).
func (t *Transfer) expansions(errs []error) []report.Rcpt {
	var list []report.Rcpt
	for i, r := range t.env.Rcpts {
		if t.route.expanded[i] && errs[i] == nil && r.Notifies(envelope.NotifySuccess) {
			list = append(list, report.Rcpt{
				Rcpt: r, Action: report.Expanded, Status: status.Enhanced{Class: 2, Subject: 1, Detail: 5},
			})
		}
	}
	return list
}

// keepStart keeps the start of a message whose refusal may have to be reported:
// one that goes to several places can be refused by some.
func (t *Transfer) keepStart(p []byte) {
	if len(t.route.locals)+len(t.route.remotes) < 2 || t.env.From.IsZero() {
		return
	}
	t.start = append(t.start, p[:min(len(p), report.MaxOriginal+1-len(t.start))]...)
}

// refused are the journal's events, of those so far, of the mailboxes that do not
// take the message though others do.
func (f *filing) refused() {
	f.outcomes = nil
	for i, err := range f.route.errs {
		if err != nil {
			f.refusedOne(f.env.Rcpts[i].To.String(), err)
		}
	}
	for _, l := range f.route.locals {
		if l.err != nil {
			f.refusedOne(l.account.Address.String(), l.err)
		}
	}
}

func (f *filing) refusedOne(to string, err error) {
	s := status.Of(err)
	f.outcomes = append(f.outcomes, &journal.Event{
		Kind: journal.Bounced, Message: f.env.ID, From: f.env.From.String(), To: to, Code: s.Code, Text: s.Text,
	})
}
