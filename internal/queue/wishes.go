package queue

import (
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/rowcodec"
)

// What senders ask of the schedule.

// setTimes sets when a message is given up and when its sender is told of a
// delay. Both count from its release, if the sender holds it (FUTURERELEASE, RFC
// 4865). A deadline (DELIVERBY, RFC 2852 section 4.1.3) is the end if the message
// is to be returned then, and the time of the notice otherwise.
func (q *Queue) setTimes(h *head, env *envelope.Envelope) {
	began := h.created
	if env.HoldUntil.After(began) {
		began = env.HoldUntil
		h.notice = q.opt.noticeAt(began)
		h.holder = env.Origin.Account
	}
	h.expires = began.Add(q.opt.ExpireAfter)
	switch by := env.DeliverBy; env.ByMode {
	case envelope.ByReturn:
		if by.Before(h.expires) {
			h.expires = by
		}
	case envelope.ByNotify:
		h.notice = by
	}
}

// heldBySender reports whether the entry must not be tried before its time: a
// message that nobody has tried yet waits for nothing else.
func (r *row) heldBySender(now time.Time) bool {
	return r.attempts == 0 && r.state != Ready && r.next.After(now)
}

// noticeOf is when the sender is told of a delay; zero is never.
func (q *Queue) noticeOf(h *head) time.Time {
	if h.notice.IsZero() {
		return q.opt.noticeAt(h.created)
	}
	return h.notice
}

// inTime moves a try that would come after the deadline to it.
func inTime(next, now time.Time, env *envelope.Envelope) time.Time {
	if by := env.DeliverBy; by.After(now) && next.After(by) {
		return by
	}
	return next
}

// tellsOfRelaying reports whether the sender is to be told that the next server
// has had the message since at: it asked to hear of success, and that server will
// not tell (RFC 3461 section 5.2.2); or it set a deadline, and wants to follow the
// message (RFC 2852 section 4.1.4) or the server does not know the deadline, which
// is still to come (section 4.1.4.2). Of deadlines all are told but those who
// never want to hear anything.
func tellsOfRelaying(env *envelope.Envelope, r *envelope.Rcpt, o *courier.Outcome, at time.Time) bool {
	switch {
	case r.Notifies(envelope.NotifySuccess) && !o.DSN:
		return true
	case env.DeliverBy.IsZero() || r.Notifies(envelope.NotifyNever):
		return false
	case env.ByTrace:
		return true
	}
	return env.ByMode == envelope.ByNotify && !o.DeliverBy && at.Before(env.DeliverBy)
}

// lateBy reports whether a deadline of which the sender wants to be told has
// passed (RFC 2852 section 4.1.3).
func lateBy(env *envelope.Envelope, at time.Time) bool {
	return env.ByMode == envelope.ByNotify && !at.Before(env.DeliverBy)
}

// RRVS of a recipient (RFC 7293) in its row: the time, and a byte for "C".

func (r *row) appendRRVS(b []byte) []byte {
	b = rowcodec.AppendTime(b, r.rcpt.RRVS)
	if r.rcpt.RRVSContinue {
		return append(b, 1)
	}
	return append(b, 0)
}

func (r *row) readRRVS(b []byte) {
	d := rowcodec.NewReader(b)
	r.rcpt.RRVS = d.Time().UTC()
	r.rcpt.RRVSContinue = d.Byte() == 1
}
