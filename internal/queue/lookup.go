package queue

import (
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/journal"
)

// lookup is a domain whose route is not known: those that wait for it.
type lookup struct {
	dest    *dest
	pending line
	asking  bool // it waits for its turn, or is under way
	trouble trouble
}

// destOf is a domain's with a way, one for all such entries. Under q.mu.
func (q *Queue) destOf(name, via string) *dest {
	key := destKey(name, via)
	d := q.dests[key]
	if d == nil {
		d = &dest{name: name, via: via}
		q.dests[key] = d
	}
	return d
}

func destKey(name, via string) string {
	if via == "" {
		return name
	}
	return name + " " + via
}

// target is what the courier is asked for.
func (d *dest) target() string {
	if d.via != "" {
		return d.via
	}
	return d.name
}

// forgetDest drops a domain without entries. Under q.mu.
func (q *Queue) forgetDest(d *dest) {
	if d.count == 0 && (d.lookup == nil || !d.lookup.asking) && q.dests[destKey(d.name, d.via)] == d {
		delete(q.dests, destKey(d.name, d.via))
	}
}

// routeOf is the way to a domain as far as it is known. One that the courier
// does not vouch for any more is used until it has been asked again; nil: nothing
// is known. Under q.mu.
func (q *Queue) routeOf(d *dest) *courier.Route {
	if !q.isSure(d) && d.route != nil {
		q.ask(d)
	}
	return d.route
}

// routeSure is for how long a route is used without asking the courier again
// whether it still knows it.
const routeSure = time.Second

// isSure reports whether the way to a domain is known and need not be looked up.
// Under q.mu.
func (q *Queue) isSure(d *dest) bool {
	now := q.now()
	if d.route != nil && now < d.sure {
		return true
	}
	r, ok := q.opt.Courier.Known(d.target())
	if ok {
		d.route, d.sure = r, now.add(routeSure)
	}
	return ok
}

// find puts a ready entry into the line of its site, or has the site looked up.
// Under q.mu.
func (q *Queue) find(e *entry) {
	if q.opt.Courier == nil {
		return
	}
	// While it is being looked up the others wait, and e goes with them.
	if l := e.dest.lookup; l == nil || !l.asking {
		if q.isSure(e.dest) {
			q.assign(e, e.dest.route)
			return
		}
	}
	l := q.ask(e.dest)
	l.pending.push(e)
	if l.trouble.fails > 0 {
		q.remind(e)
	}
}

// ask has a domain looked up, unless that is under way or put off. Under q.mu.
func (q *Queue) ask(d *dest) *lookup {
	if d.lookup == nil {
		d.lookup = &lookup{dest: d}
	}
	l := d.lookup
	if !l.asking && q.now() >= l.trouble.until {
		l.asking = true
		q.asking = append(q.asking, l)
		q.resolve()
	}
	return l
}

// askAgain is ask for a domain whose time has come. Under q.mu.
func (q *Queue) askAgain(d *dest) {
	if d.lookup != nil && d.lookup.pending.n > 0 {
		q.ask(d)
	}
}

// resolve begins look-ups that wait. Under q.mu.
func (q *Queue) resolve() {
	for q.running() && len(q.asking) > 0 && q.resolves < maxLookups {
		l := q.asking[0]
		q.asking[0] = nil
		q.asking = q.asking[1:]
		q.resolves++
		q.work.Go(func() { q.lookUp(l) })
	}
}

// lookUp finds the way to a domain for all who wait for it.
func (q *Queue) lookUp(l *lookup) {
	began := q.opt.Clock.Now()
	route, err := q.opt.Courier.Resolve(q.soft, l.dest.target())
	var out courier.Outcome
	if err != nil {
		out = courier.FromError(err)
		out.Steps = []journal.Step{{Name: "dns", Took: q.opt.Clock.Now().Sub(began)}}
	}
	for _, j := range q.answered(l, route, err, out, momentOf(began)) {
		q.failed(j, out)
	}
}

// answered deals with the answer to a look-up, and gives the jobs that fail by
// it: all, if the answer is for good; else those of one message, and the others
// go on waiting.
func (q *Queue) answered(l *lookup, route *courier.Route, err error, out courier.Outcome, began moment) (failed []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.resolves--
	l.asking = false
	d := l.dest
	switch {
	case err == nil:
		d.route, d.lookup, d.sure = route, nil, q.now().add(routeSure)
		for e := l.pending.first; e != nil; e = l.pending.first {
			e.leave()
			q.assign(e, route)
		}
	case q.soft.Err() != nil:
		// Stopping: the next start looks again.
	default:
		for e := l.pending.first; e != nil && (out.Permanent() || len(failed) == 0 || e.msg == failed[0].msg); e = l.pending.first {
			failed = joinJob(failed, e)
			q.begin(e)
		}
		regular := moment(0)
		if len(failed) > 0 {
			regular, failed[0].stood = failed[0].firstDue(), l.trouble.stood
		}
		if d.lookup = nil; out.Permanent() {
			d.route = nil
			break
		}
		if now := q.now(); d.count > 0 {
			d.lookup = l
			l.trouble.happened(began, now, regular, 0, &out)
			q.setAlarm(alarm{at: l.trouble.until, dest: d})
		}
		q.remindLine(&l.pending)
	}
	q.forgetDest(d)
	q.resolve()
	q.pump()
	return failed
}

// joinJob makes jobs of entries that fail without a try.
func joinJob(jobs []*job, e *entry) []*job {
	if n := len(jobs); n > 0 {
		j := jobs[n-1]
		if j.msg == e.msg && j.entries[0].dest == e.dest && len(j.entries) < courier.MaxRcpts {
			j.entries = append(j.entries, e)
			return jobs
		}
	}
	return append(jobs, &job{msg: e.msg, entries: []*entry{e}})
}

// failed records one outcome for the entries of a job that was not tried.
func (q *Queue) failed(j *job, out courier.Outcome) {
	j.began = q.now()
	if err := q.atHand(q.hard, j); err != nil {
		q.opt.Log.Error("queue: message cannot be read", "msg_id", string(j.msg.id()), "err", err)
		q.putBack(j)
		return
	}
	outs := make([]courier.Outcome, len(j.entries))
	for i := range outs {
		outs[i] = out
	}
	q.results <- &result{job: j, outs: outs}
}
