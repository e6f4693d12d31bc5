package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"posthouse/internal/journal"
	"posthouse/internal/kv"
)

// ByMX is where Reroute sends entries by their domains again.
const ByMX = "mx"

// ErrWay is the answer for a way that is none.
var ErrWay = errors.New("queue: the way is smtp://host[:port], smtps://host[:port] or mx")

// Reroute is Admin's. Entries that are being tried go the new way the next time.
func (q *Queue) Reroute(ctx context.Context, sel Selector, to string) (int, error) {
	via := ""
	if !strings.EqualFold(to, ByMX) {
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Host == "" || len(to) > 1000 || strings.ContainsAny(to, " \t\r\n") {
			return 0, fmt.Errorf("%w: %q", ErrWay, to)
		}
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
