package queue

import (
	"errors"
	"io"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// result is a job that was tried.
type result struct {
	job  *job
	outs []courier.Outcome
}

// attempt tries a job and hands the result to the recorder. It gives the
// outcomes, nil if there was no try.
func (q *Queue) attempt(j *job) []courier.Outcome {
	if err := q.atHand(q.hard, j); err != nil {
		q.opt.Log.Error("queue: message cannot be read", "msg_id", string(j.msg.id()), "err", err)
		q.putBack(j)
		return nil
	}
	q.alike(j)
	outs, tried := q.deliver(j)
	r := &result{job: j, outs: outs}
	if q.soft.Err() != nil && r.forgetUndone(q.hard.Err() != nil) {
		outs = nil
	}
	q.results <- r
	if !tried {
		return nil
	}
	return outs
}

// alike leaves out entries whose header lines are not those of the first, should
// their hashes be equal by chance; they come in a transaction of their own.
func (q *Queue) alike(j *job) {
	n := 0
	for i, r := range j.rows {
		if r.rcpt.Prepend != j.rows[0].rcpt.Prepend {
			q.mu.Lock()
			e := j.entries[i]
			e.set(fBusy, false)
			if e.state == sReady {
				q.makeReady(e)
			}
			q.mu.Unlock()
			continue
		}
		j.entries[n], j.rows[n] = j.entries[i], r
		n++
	}
	j.entries, j.rows = j.entries[:n], j.rows[:n]
}

// forgetUndone leaves out what the end of the queue kept from being tried, and with
// cut what it cut off: that was no try, and the next start makes one. It reports
// whether there was any.
func (r *result) forgetUndone(cut bool) (any bool) {
	n := 0
	for i := range r.outs {
		if r.outs[i].Untried || cut && r.outs[i].Temporary() {
			continue
		}
		r.job.entries[n], r.job.rows[n], r.outs[n] = r.job.entries[i], r.job.rows[i], r.outs[i]
		n++
	}
	any = n < len(r.outs) || cut
	r.job.entries, r.job.rows, r.outs = r.job.entries[:n], r.job.rows[:n], r.outs[:n]
	return any
}

// deliver calls the courier; tried is false if it came not so far.
func (q *Queue) deliver(j *job) (outs []courier.Outcome, tried bool) {
	body, err := q.opt.Bodies.Open(j.msg.body)
	if err != nil {
		q.opt.Log.Error("queue: body cannot be opened", "msg_id", string(j.msg.id()), "err", err)
		text := "The message could not be read from the store"
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
			text = "The message is damaged in the store"
		}
		return sameOutcome(len(j.entries), status.New(451, 3, 0, text)), false
	}
	defer body.Close()
	m := j.full
	// Only what was read from its begin is checked at its end; a failure comes again.
	_, _ = io.Copy(io.Discard, io.NewSectionReader(body, 0, m.Skip))
	t := &courier.Transfer{
		Route: j.route, Source: q.sourceName(j.msg.source), Caps: j.ready.caps, MaxPerConn: j.ready.perConn, From: m.Envelope.From, Rcpts: make([]envelope.Rcpt, len(j.entries)),
		Prepend: j.rows[0].rcpt.Prepend, Body: body, Skip: m.Skip, Size: m.Size,
		EightBit: m.EightBit, UTF8: m.UTF8, BareLines: m.BareLines, Ret: m.Envelope.Ret, EnvID: m.Envelope.EnvID,
		ID: m.Envelope.ID, Binary: m.Envelope.Body == envelope.BodyBinary, Priority: m.Envelope.Priority, PriorityBy: m.Envelope.PriorityBy, Solicit: m.Envelope.Solicit,
		HoldRequest: m.Envelope.HoldRequest, DeliverBy: m.Envelope.DeliverBy, ByMode: m.Envelope.ByMode, ByTrace: m.Envelope.ByTrace,
		RequireTLS: m.Envelope.RequireTLS, TLSOptional: m.Envelope.TLSOptional, Leave: q.soft,
	}
	for i, r := range j.rows {
		t.Rcpts[i] = r.rcpt.Rcpt
	}
	return q.opt.Courier.Deliver(q.hard, t), true
}

func sameOutcome(n int, err error) []courier.Outcome {
	outs := make([]courier.Outcome, n)
	for i := range outs {
		outs[i] = courier.FromError(err)
	}
	return outs
}

// putBack returns entries that were not tried, to be tried after a while.
func (q *Queue) putBack(j *job) {
	q.putBackEntries(j.entries)
}

func (q *Queue) putBackEntries(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.now().add(q.opt.FirstRetry)
	for _, e := range entries {
		e.set(fBusy, false)
		if e.state == sReady {
			q.wait(e, next)
		}
	}
	q.observe()
}
