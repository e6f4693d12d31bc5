package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"posthouse/internal/courier"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
)

// ByMX is where Reroute sends entries by their domains again.
const ByMX = "mx"

// ErrWay is the answer for a way that is none.
var ErrWay = errors.New("the way is smtp://[user:password@]host[:port], smtps://… or mx")

// maxWay is how long a way may be, in bytes.
const maxWay = 1000

// CheckWay tells why entries cannot be sent there: ErrWay with the reason, which
// does not repeat a password.
func CheckWay(to string) error {
	if strings.EqualFold(to, ByMX) {
		return nil
	}
	if len(to) > maxWay || strings.ContainsAny(to, " \t\r\n") {
		return ErrWay
	}
	if err := courier.CheckVia(to); err != nil {
		return fmt.Errorf("%w: %w", ErrWay, err)
	}
	return nil
}

// Reroute is Admin's. Entries that are being tried go the new way the next time.
func (q *Queue) Reroute(ctx context.Context, sel Selector, to string) (int, error) {
	if err := CheckWay(to); err != nil {
		return 0, err
	}
	via := ""
	if !strings.EqualFold(to, ByMX) {
		via = to
	}
	picked, err := q.pick(ctx, sel, func(e *entry) bool { return e.dest.via != via && !e.is(fDropping) })
	if err != nil {
		return 0, err
	}
	return len(picked), q.operate(ctx, picked, func(tx kv.Tx, op *operation) error {
		op.row.via = via
		op.event(journal.Rerouted)
		op.c.events[len(op.c.events)-1].Text = "To be sent " + wayWords(via)
		return op.write(tx)
	}, func(e *entry) { q.redirect(e, via) })
}

// wayWords are a way for people, without its password.
func wayWords(via string) string {
	if via == "" {
		return "by its domain's mail hosts"
	}
	return "through " + redacted(via)
}

// redacted is a URL without its password.
func redacted(via string) string {
	u, err := url.Parse(via)
	if via == "" || err != nil {
		return ""
	}
	return u.Redacted()
}

// redirect sends an entry another way. Under q.mu.
func (q *Queue) redirect(e *entry, via string) {
	old := e.dest
	e.dest = q.destOf(old.name, via)
	e.dest.count++
	old.count--
	q.forgetDest(old)
	if e.line != nil {
		e.leave()
		q.find(e)
	}
}
