package queue

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/courier"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
)

// adminBatch is how many entries one transaction of an operator changes.
const adminBatch = 200

// Retry has entries tried now that wait for their next attempt, or for a site
// that could not be reached, and tells how many. One that is being tried is tried
// again at once if that fails. Held ones stay held, also those that their senders
// hold. Whatever comes of it, the next regular attempt is when it would have been.
func (q *Queue) Retry(ctx context.Context, sel Selector) (int, error) {
	stuck, err := q.again(ctx, sel)
	if err != nil {
		return 0, err
	}
	picked, err := q.pick(ctx, sel, func(e *entry) bool {
		if q.stuck(e) {
			stuck++
		}
		return e.state == sWaiting && !e.is(fBusy|fSender)
	})
	if err != nil {
		return 0, err
	}
	if len(picked) > 0 {
		// When nothing runs here, the next start finds them ready.
		err = q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
			op.row.state = Ready
			return op.write(tx)
		}, func(e *entry) {
			if e.state == sWaiting && !e.is(fBusy) {
				q.makeReady(e)
			}
		})
	}
	if err == nil {
		err = q.lift(ctx, sel)
	}
	return len(picked) + stuck, err
}

// Hold keeps entries from being tried until they are released. One that is
// being tried is held if that fails.
func (q *Queue) Hold(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.state != sHeld })
	if err != nil {
		return 0, err
	}
	return len(picked), q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		op.row.state = Held
		op.event(journal.Held)
		return op.write(tx)
	}, func(e *entry) {
		q.park(e)
		q.setState(e, sHeld)
	})
}

// Release lets held entries go on: at once, or at the time until which their
// senders hold them.
func (q *Queue) Release(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.state == sHeld && !e.is(fDropping) })
	if err != nil {
		return 0, err
	}
	return len(picked), q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		if now := q.opt.Clock.Now(); op.row.heldBySender(now) {
			op.row.state = Waiting
		} else {
			op.row.state, op.row.next = Ready, now
		}
		op.event(journal.Released)
		return op.write(tx)
	}, func(e *entry) {
		if e.is(fSender) && e.due > q.now() {
			q.wait(e, e.due)
			return
		}
		e.due = q.now()
		if e.is(fBusy) {
			q.setState(e, sReady)
		} else {
			q.makeReady(e)
		}
	})
}

// Drop removes entries without a DSN. One that is being tried is removed after
// that, whatever comes of it.
func (q *Queue) Drop(ctx context.Context, sel Selector) (int, error) {
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return !e.is(fDropping) })
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	for _, e := range picked {
		// From here on it is not begun, and a failure is not reported.
		if e.state == sGone {
			continue
		}
		e.set(fDropping, true)
		if !e.is(fBusy) {
			q.park(e)
			q.setState(e, sHeld)
		}
	}
	q.mu.Unlock()
	err = q.dropAll(ctx, picked)
	if err != nil {
		q.mu.Lock()
		for _, e := range picked {
			e.set(fDropping, false) // those that are left are held
		}
		q.mu.Unlock()
	}
	return len(picked), err
}

func (q *Queue) dropAll(ctx context.Context, picked []*entry) error {
	return q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		if op.busy {
			op.row.drop, op.row.state = true, Held
			return op.write(tx)
		}
		op.event(journal.Dropped)
		op.c.removed = true
		return tx.Delete(entryKey(op.c.e.msg.id(), op.c.e.n))
	}, nil)
}

// finishDrops removes what was dropped while it was tried before a crash.
func (q *Queue) finishDrops(ctx context.Context) error {
	picked, err := q.pick(ctx, Selector{}, func(e *entry) bool { return e.is(fDropping) })
	if err != nil || len(picked) == 0 {
		return err
	}
	return q.dropAll(ctx, picked)
}

// operation is an operator's change of one entry, in a transaction.
type operation struct {
	c    *change
	row  *row // nil: it is done meanwhile
	busy bool
}

func (op *operation) event(kind journal.Kind) {
	op.c.events = append(op.c.events, &journal.Event{
		At: op.c.at, Kind: kind, Message: op.c.e.msg.id(), From: op.c.from, To: op.row.rcpt.To.String(),
	})
}

func (op *operation) write(tx kv.Tx) error {
	return tx.Set(entryKey(op.c.e.msg.id(), op.c.e.n), op.row.encode())
}

// operate changes entries in the store with do and then in memory with after,
// in transactions of bounded size. No outcome is recorded meanwhile.
func (q *Queue) operate(ctx context.Context, picked []*entry, do func(kv.Tx, *operation) error, after func(*entry)) error {
	byShard(picked)
	for len(picked) > 0 {
		n := min(len(picked), adminBatch)
		if err := q.operateBatch(ctx, picked[:n], do, after); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
		picked = picked[n:]
	}
	return nil
}

func (q *Queue) operateBatch(ctx context.Context, picked []*entry, do func(kv.Tx, *operation) error, after func(*entry)) error {
	q.order.Lock()
	defer q.order.Unlock()
	b, ops := q.operations(picked)
	err := q.opt.DB.Update(ctx, b.parts(), func(tx kv.Tx) error { return q.operateTx(tx, b, ops, do) })
	if err != nil {
		return err
	}
	q.mu.Lock()
	for _, op := range ops {
		switch e := op.c.e; {
		case op.c.removed:
			q.remove(e)
		case op.row != nil && after != nil && e.state != sGone:
			after(e)
		}
	}
	q.pump()
	q.observe()
	q.mu.Unlock()
	q.published(b)
	return nil
}

// operations are those on some entries, and the batch of their changes.
func (q *Queue) operations(picked []*entry) (*batch, []*operation) {
	b, now := new(batch), q.opt.Clock.Now()
	ops := make([]*operation, len(picked))
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range picked {
		c := &change{e: e, o: new(courier.Outcome), at: now}
		b.changes = append(b.changes, c)
		ops[i] = &operation{c: c, busy: e.is(fBusy)}
	}
	return b, ops
}

// operateTx writes a batch of operations. It may run again.
func (q *Queue) operateTx(tx kv.Tx, b *batch, ops []*operation, do func(kv.Tx, *operation) error) error {
	b.events, b.released = b.events[:0], b.released[:0]
	for _, op := range ops {
		c, msg := op.c, op.c.e.msg.id()
		c.removed, c.events = false, c.events[:0]
		var err error
		if op.row, err = getRow(tx, msg, c.e.n); errors.Is(err, kv.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if c.from, err = senderOf(tx, msg); err != nil {
			return err
		}
		if err := do(tx, op); err != nil {
			return err
		}
		b.events = append(b.events, c.events...)
	}
	for _, c := range b.changes {
		if c.removed {
			if err := q.removeMessageTx(tx, b, c.e.msg); err != nil {
				return err
			}
		}
	}
	return q.opt.Journal.AppendTx(tx, b.events...)
}
