package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/status"
	"posthouse/internal/suppress"
)

// verdict is what an outcome means for an entry.
type verdict int

const (
	vSent    verdict = iota // the next server has it
	vRelayed                // it has, and the sender is told
	vRetry                  // later
	vNotice                 // later, and the sender is told of the delay
	vGone                   // given up, nobody is told
	vBounce                 // given up, the sender is told
)

// change is one entry with the outcome of a try.
type change struct {
	e       *entry
	row     *row   // as the attempt had it; nil for an operator's change
	from    string // reverse-path
	o       *courier.Outcome
	verdict verdict
	at      time.Time
	next    time.Time // with vRetry and vNotice
	extra   bool      // it came before its time
	steps   bool      // the event carries the timings
	untried bool      // o is what is known of the site: there was no attempt
	// Set by the transaction that was last run.
	removed bool
	state   State
	events  []*journal.Event
}

// batch is changes that go into one transaction.
type batch struct {
	changes  []*change
	dsn      id.ID // of the report that the transaction files
	released []blob.Ref
	events   []*journal.Event
}

// parts are the partitions that a batch writes.
func (b *batch) parts() kv.Partitions {
	var p kv.Partitions
	var last *message
	for _, c := range b.changes {
		if m := c.e.msg; m != last {
			msg := m.id()
			p = append(p, Partition(msg), journal.Partition(msg), refs.Partition(m.body))
			last = m
		}
		if c.suppresses() {
			p = append(p, suppress.Partition)
		}
	}
	return p
}

// judge decides what the outcomes of a job mean.
func (q *Queue) judge(r *result) (plain, told *batch) {
	plain, told = new(batch), new(batch)
	now := q.opt.Clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	from, random := r.job.full.Envelope.From.String(), rand.Float64()
	for i, e := range r.job.entries {
		c := &change{e: e, row: r.job.rows[i], from: from, o: &r.outs[i], at: now, steps: i == 0, untried: r.job.untried}
		q.judgeOne(c, r.job.full.Envelope, r.job.stood, random)
		if q.opt.Observer != nil && !c.untried {
			q.opt.Observer.Attempt(resultName(c.o), c.o.Class, now.Sub(r.job.began.time()))
		}
		if c.verdict.told() {
			told.changes = append(told.changes, c)
		} else {
			plain.changes = append(plain.changes, c)
		}
	}
	return plain, told
}

func resultName(o *courier.Outcome) string {
	switch {
	case o.Sent():
		return "sent"
	case o.Permanent():
		return "permanent"
	}
	return "temporary"
}

// judgeOne is judge for one entry; random is the same for all of a job, so that
// they come back together, and so is stood. Under q.mu.
func (q *Queue) judgeOne(c *change, env *envelope.Envelope, stood moment, random float64) {
	m, rcpt := c.e.msg, &c.row.rcpt.Rcpt
	notice, expires := m.notice.time(), m.expires.time()
	deaf := q.opt.Reporter == nil || c.e.is(fDropping)
	switch {
	case c.o.Sent():
		c.verdict = vSent
		if !deaf && !m.null && tellsOfRelaying(env, rcpt, c.o, c.at) {
			c.verdict = vRelayed
		}
	case c.o.Permanent() || !c.at.Before(expires):
		c.verdict = vBounce
		if deaf || !rcpt.Notifies(envelope.NotifyFailure) || m.null && !endsHere(env) {
			c.verdict = vGone
		}
	default:
		c.verdict = vRetry
		due := !notice.IsZero() && !c.at.Before(notice)
		if !deaf && !m.null && !c.e.is(fNotified) && due && rcpt.Notifies(envelope.NotifyDelay) {
			c.verdict = vNotice
		}
		if regular := max(c.e.due, stood).time(); regular.After(c.at) {
			c.extra, c.next = true, byMarks(regular, notice, expires, c.at)
		} else {
			c.next = q.opt.nextAttempt(int(c.e.attempts)+1-c.row.extra, notice, expires, c.at, random)
		}
		c.next = inTime(later(c.next, c.at.Add(c.o.Pause)), c.at, env)
	}
}

// told reports whether the sender is told.
func (v verdict) told() bool { return v == vRelayed || v == vNotice || v == vBounce }

// writeTx writes a batch. It may run again.
func (q *Queue) writeTx(tx kv.Tx, b *batch) error {
	b.released, b.events = b.released[:0], b.events[:0]
	for _, c := range b.changes {
		if err := q.changeTx(tx, b, c); err != nil {
			return err
		}
	}
	seen := map[*message]bool{}
	for _, c := range b.changes {
		if c.removed && !seen[c.e.msg] {
			seen[c.e.msg] = true
			if err := q.removeMessageTx(tx, b, c.e.msg); err != nil {
				return err
			}
		}
	}
	return q.opt.Journal.AppendTx(tx, b.events...)
}

// changeTx writes one entry.
func (q *Queue) changeTx(tx kv.Tx, b *batch, c *change) error {
	e := c.e
	msg := e.msg.id()
	key := entryKey(msg, e.n)
	c.removed, c.events = true, c.events[:0]
	defer func() { b.events = append(b.events, c.events...) }()
	switch c.verdict {
	case vSent, vRelayed:
		c.event(journal.Relayed, c.repeated()...)
		c.reported(b, report.Relayed)
		return tx.Delete(key)
	case vGone, vBounce:
		c.event(journal.Bounced, c.repeated()...)
		if err := c.suppressTx(tx); err != nil {
			return err
		}
		c.reported(b, report.Failed)
		return tx.Delete(key)
	}
	// An operator may have held or dropped it during the try.
	r, err := getRow(tx, msg, e.n)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.drop {
		if !c.untried {
			c.event(journal.Attempted)
		}
		c.event(journal.Dropped)
		return tx.Delete(key)
	}
	c.removed = false
	if !c.untried {
		r.tried(c.at, c.o)
		if c.extra {
			r.extra++
		}
		if r.next = c.next; r.state != Held {
			r.state = Waiting
		}
		c.event(journal.Attempted, "next", c.next.UTC().Format(time.RFC3339), "attempts", strconv.Itoa(r.attempts))
	}
	c.state = r.state
	if c.verdict == vNotice {
		r.notified = true
		c.event(journal.Delayed, "dsn", string(b.dsn))
		c.reported(b, report.Delayed)
	}
	return tx.Set(key, r.encode())
}

// reported adds the event of the report that the batch's transaction files, if any.
func (c *change) reported(b *batch, a report.Action) {
	if b.dsn != "" {
		c.event(journal.Reported, "dsn", string(b.dsn), "action", string(a))
	}
}

// removeMessageTx removes a message whose last entry is gone.
func (q *Queue) removeMessageTx(tx kv.Tx, b *batch, m *message) error {
	msg := m.id()
	if m.total > 1 {
		left := false
		prefix := kv.NewKey(Partition(msg)).Byte(rowEntry).Raw([]byte(msg))
		if err := tx.Scan(prefix, prefix.End(), func(_, _ []byte) bool { left = true; return false }); err != nil {
			return err
		}
		if left {
			return nil
		}
	}
	if _, err := tx.Get(messageKey(msg)); errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err := tx.Delete(messageKey(msg)); err != nil {
		return err
	}
	last, err := q.opt.Counts.DropTx(tx, m.body, 1)
	if last {
		b.released = append(b.released, m.body)
	}
	return err
}

// event adds an event with what the outcome says; detail is keys and values.
func (c *change) event(kind journal.Kind, detail ...string) {
	ev := &journal.Event{At: c.at, Kind: kind, Message: c.e.msg.id(), From: c.from}
	if c.row != nil {
		ev.To = c.row.rcpt.To.String()
	}
	if kind == journal.Attempted || kind == journal.Relayed || kind == journal.Bounced || kind == journal.Delayed && c.untried {
		ev.Code, ev.Text = c.o.Code, c.o.Text
		if !c.o.Enhanced.IsZero() && c.o.Enhanced != (status.Enhanced{Class: uint16(c.o.Code / 100)}) {
			detail = append(detail, "enhanced", c.o.Enhanced.String())
		}
		if c.o.Host != "" {
			detail = append(detail, "host", c.o.Host)
		}
		if c.o.Addr.IsValid() {
			detail = append(detail, "addr", c.o.Addr.String())
		}
		if c.o.TLS != "" {
			detail = append(detail, "tls", c.o.TLS, "tls_verified", strconv.FormatBool(c.o.Verified))
		}
		if c.o.TLSPolicy != "" {
			detail = append(detail, "tls_policy", c.o.TLSPolicy)
		}
		if c.steps {
			ev.Steps = c.o.Steps
		}
	}
	if kind == journal.Attempted || kind == journal.Bounced {
		detail = append(detail, verdictDetail(c.o)...)
	}
	if len(detail) > 0 {
		ev.Detail = make(map[string]string, len(detail)/2)
		for i := 0; i+1 < len(detail); i += 2 {
			ev.Detail[detail[i]] = detail[i+1]
		}
	}
	c.events = append(c.events, ev)
}

// applied brings memory up to date with a batch that is durable. q.order is held.
func (q *Queue) applied(b *batch) {
	q.mu.Lock()
	for _, c := range b.changes {
		e := c.e
		e.set(fBusy, false)
		if c.removed {
			q.remove(e)
			continue
		}
		e.set(fNotified, e.is(fNotified) || c.verdict == vNotice)
		q.letGo(e.msg)
		if !c.untried {
			e.attempts = min(e.attempts, 1<<16-2) + 1
			e.due = momentOf(c.next)
		}
		switch {
		case c.state == Held:
			q.setState(e, sHeld)
		case c.untried, e.is(fAgain):
			q.makeReady(e) // it waits for what it waited for, or goes again
		default:
			q.wait(e, e.due)
		}
	}
	q.pump()
	q.observe()
	q.mu.Unlock()
	q.published(b)
}

// published gives back bodies and tells the journal, after a transaction is durable.
func (q *Queue) published(b *batch) {
	for _, ref := range b.released {
		if err := q.opt.Counts.Release(ref); err != nil {
			q.opt.Log.Error("queue: body was not released", "err", err)
		}
	}
	q.opt.Journal.Published(b.events...)
}

// recorder writes outcomes to the store, as many as there are in one transaction.
func (q *Queue) recorder() {
	for first := range q.results {
		b := new(batch)
		q.collect(b, first)
	more:
		for len(b.changes) < recordBatch {
			select {
			case r, ok := <-q.results:
				if !ok {
					break more
				}
				q.collect(b, r)
			default:
				break more
			}
		}
		if len(b.changes) > 0 {
			q.record(b)
		}
	}
}

// collect adds a result to the batch, and starts the report that it needs.
func (q *Queue) collect(b *batch, r *result) {
	plain, told := q.judge(r)
	b.changes = append(b.changes, plain.changes...)
	if len(told.changes) > 0 {
		q.startReport(r.job, told)
	}
}

// Waits between tries to write to a store that does not take it.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// record commits a batch. While the store does not take it, nothing new is
// tried: what was sent and cannot be recorded would be sent again after a crash.
func (q *Queue) record(b *batch) {
	for wait := firstPause; ; wait = min(2*wait, maxPause) {
		q.order.RLock()
		// Not q.hard: what was sent must be recorded even when time is up.
		err := q.opt.DB.Update(context.Background(), b.parts(), func(tx kv.Tx) error { return q.writeTx(tx, b) })
		if err == nil {
			q.applied(b)
		}
		q.order.RUnlock()
		if err == nil {
			if wait > firstPause {
				q.opt.Log.Info("queue: the store takes outcomes again")
				q.resume()
			}
			return
		}
		q.opt.Log.Error("queue: outcomes cannot be recorded, nothing is sent meanwhile", "err", err, "again_in", wait)
		q.pause()
		if !q.sleep(q.hard.Done(), wait) {
			return
		}
	}
}
