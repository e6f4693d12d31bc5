package queue

import "context"

// lift has what waits for its site, or for the way to it, tried at once: whoever
// asks knows more than the last failure does. The first success brings the rest.
func (q *Queue) lift(ctx context.Context, sel Selector) error {
	stuck, err := q.pick(ctx, sel, q.stuck)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for _, e := range stuck {
		if !q.stuck(e) {
			continue // no more
		}
		if r := e.line.ready; r != nil {
			r.site.trouble.lift(now)
			q.wakeSite(r.site, now)
			continue
		}
		e.dest.lookup.trouble.lift(now)
		q.ask(e.dest)
	}
	return nil
}

// again has entries that are being tried tried once more if that fails, and tells how
// many: what was begun before somebody asked does not know what he knows.
func (q *Queue) again(ctx context.Context, sel Selector) (int, error) {
	trying := func(e *entry) bool { return e.is(fBusy) && !e.is(fDropping) && e.state == sReady }
	picked, err := q.pick(ctx, sel, trying)
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, e := range picked {
		if trying(e) {
			e.set(fAgain, true)
			n++
		}
	}
	return n, nil
}

// stuck reports whether an entry waits for its site, or for the way to it. Under
// q.mu.
func (q *Queue) stuck(e *entry) bool {
	if e.state != sReady || e.line == nil {
		return false
	}
	if r := e.line.ready; r != nil {
		return r.site.blocked(q.now())
	}
	l := e.dest.lookup
	return l != nil && !l.asking && q.now() < l.trouble.until
}
