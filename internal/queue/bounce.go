package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// startReport files a report, beside the recorder. It waits for its turn, so
// that a flood of failures cannot pile up.
func (q *Queue) startReport(j *job, b *batch) {
	q.reports <- struct{}{}
	q.filing.Go(func() {
		defer func() { <-q.reports }()
		q.report(j, b)
	})
}

// report tells the sender, in the same transaction that records the outcome: a
// crash before it means another try, after it nothing. Each kind of news has a
// report of its own.
func (q *Queue) report(j *job, b *batch) {
	for _, v := range [...]verdict{vRelayed, vBounce, vNotice} {
		kind := new(batch)
		for _, c := range b.changes {
			if c.verdict == v {
				kind.changes = append(kind.changes, c)
			}
		}
		if len(kind.changes) > 0 {
			q.fileReport(j, kind)
		}
	}
}

// endsHere reports whether mail that names no sender is of this house: a report,
// or what a user's program sent. When it fails it ends with our postmaster (RFC
// 3461 section 5.2); that of others is theirs to look after.
func endsHere(env *envelope.Envelope) bool {
	return env.Origin.Door == "internal" || env.Origin.Account != 0
}

// maxReportTries is how often a report is offered before its entries go back to
// waiting, as if they had not been tried.
const maxReportTries = 4

func (q *Queue) fileReport(j *job, b *batch) {
	d := q.dsn(j, b)
	alsoTx := func(tx kv.Tx) error {
		b.dsn = d.ID // the Reporter may have given it another
		return q.writeTx(tx, b)
	}
	relayed := b.changes[0].verdict == vRelayed
	wait := firstPause
	for try := 1; ; try++ {
		q.order.RLock()
		err := q.opt.Reporter.Report(context.Background(), d, alsoTx, b.parts())
		if err == nil {
			q.applied(b)
		}
		q.order.RUnlock()
		if err == nil {
			if relayed && try > 1 {
				q.resume()
			}
			return
		}
		full := errors.Is(err, blob.ErrFull)
		q.opt.Log.Error("queue: report cannot be filed", "msg_id", string(j.msg.id()), "err", err, "again_in", wait)
		if relayed && full {
			q.pause() // for the outcome cannot be recorded either
		} else if relayed || try == maxReportTries {
			break
		}
		if !q.sleep(q.soft.Done(), wait) {
			break
		}
		wait = min(2*wait, maxPause)
	}
	if relayed {
		q.recordUntold(b)
		return
	}
	// The next try, or the next start, tells.
	var entries []*entry
	for _, c := range b.changes {
		entries = append(entries, c.e)
	}
	q.putBackEntries(entries)
}

// recordUntold records that mail was sent without telling so: to wait longer for
// the report would be to risk that it is sent twice.
func (q *Queue) recordUntold(b *batch) {
	for _, c := range b.changes {
		c.verdict = vSent
	}
	b.dsn = ""
	q.record(b)
}

// dsn writes what is to be told.
func (q *Queue) dsn(j *job, b *batch) *report.DSN {
	now := q.opt.Clock.Now()
	m := j.full
	d := &report.DSN{
		ID: id.New(now), Hostname: q.opt.Hostname, To: m.Envelope.From, Date: now,
		Original: m.Envelope, MessageID: m.MessageID,
	}
	if d.To.IsZero() {
		d.To = report.Postmaster
	}
	d.Message, d.Whole = q.original(m)
	for _, c := range b.changes {
		r := report.Rcpt{
			Rcpt: c.row.rcpt.Rcpt, Action: report.Failed, Status: c.o.Status(),
			Code: c.o.Code, Enhanced: c.o.Enhanced, Text: c.o.Text,
			Remote: c.o.Remote, Host: c.o.Host,
		}
		r.Attempts, r.LastAttempt = c.tries()
		switch {
		case c.verdict == vRelayed:
			r.Action = report.Relayed
		case c.verdict == vNotice:
			r.Action, r.RetryUntil = report.Delayed, c.e.msg.expires.time()
			if lateBy(m.Envelope, c.at) {
				r.Status = status.Enhanced{Class: 4, Subject: 4, Detail: 7} // delivery time expired
			}
		case c.o.Permanent():
			if c.o.Remote {
				r.Hint = c.o.Hint
			}
		default:
			// Given up for its age: delivery time expired (RFC 3463 section 3.5).
			r.Status = status.Enhanced{Class: 5, Subject: 4, Detail: 7}
		}
		d.Rcpts = append(d.Rcpts, r)
	}
	return d
}

// tries are how often the recipient was tried so far, and when the last time.
func (c *change) tries() (n int, last time.Time) {
	if !c.untried {
		return int(c.e.attempts) + 1, c.at
	}
	if h := c.row.history; len(h) > 0 {
		last = h[len(h)-1].At
	}
	return int(c.e.attempts), last
}

// original reads the start of a message, for the report.
func (q *Queue) original(m *Message) (text []byte, whole bool) {
	body, err := q.opt.Bodies.Open(m.Body)
	if err != nil {
		return nil, false
	}
	defer body.Close()
	text = make([]byte, min(m.Size, report.MaxOriginal))
	n, err := body.ReadAt(text, m.Skip)
	if err != nil && err != io.EOF {
		return nil, false
	}
	return text[:n], int64(n) == m.Size
}
