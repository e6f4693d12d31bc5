package queue

import (
	"context"
	"errors"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/journal"
	"posthouse/internal/status"
)

// maxTurn is how many jobs a lane does before it lets another site have its
// place, when there are not enough for all.
const maxTurn = 20

// result is a job that was tried.
type result struct {
	job   *job
	outs  []courier.Outcome
	began time.Time
}

// kick sets everything going that is ready. Under q.mu.
func (q *Queue) kick() {
	for _, s := range q.sites {
		q.addLanes(s)
	}
	q.resolve()
}

// addLanes gives a site more lanes while more jobs wait than lanes work: so a
// site that answers quickly gets few connections and a slow one many. Under q.mu.
func (q *Queue) addLanes(s *site) {
	for q.running() && s.lanes < q.perSite && len(s.ready) > s.lanes {
		if q.lanes >= q.total {
			if !s.queued {
				s.queued = true
				q.turn = append(q.turn, s)
			}
			return
		}
		s.lanes++
		q.lanes++
		q.work.Go(func() { q.lane(s) })
	}
}

// lane does a site's jobs until there are none, or until it is another site's turn.
func (q *Queue) lane(s *site) {
	for n := 0; ; n++ {
		j := q.take(s, n)
		if j == nil {
			return
		}
		q.attempt(j)
	}
}

// take gives the next job of a site, or nil: the lane ends.
func (q *Queue) take(s *site, n int) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.running() && len(s.ready) > 0 && (n < maxTurn || len(q.turn) == 0) {
		j := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		q.begin(j)
		if len(j.entries) > 0 {
			q.addLanes(s)
			return j
		}
	}
	s.lanes--
	q.lanes--
	for len(q.turn) > 0 && q.lanes < q.total {
		next := q.turn[0]
		q.turn = q.turn[1:]
		next.queued = false
		q.addLanes(next)
		if len(next.ready) == 0 && next.lanes == 0 {
			delete(q.sites, next.key)
		}
	}
	if len(s.ready) > 0 {
		q.addLanes(s)
	} else if s.lanes == 0 && !s.queued {
		delete(q.sites, s.key)
	}
	return nil
}

// begin makes the entries of a job busy: those that are still ready and wait in
// this job. Under q.mu.
func (q *Queue) begin(j *job) {
	for i, other := range j.msg.jobs {
		if other == j {
			j.msg.jobs = append(j.msg.jobs[:i], j.msg.jobs[i+1:]...)
			break
		}
	}
	left := j.entries[:0]
	for _, e := range j.entries {
		if e.job == j && e.state == Ready {
			e.job, e.busy = nil, true
			left = append(left, e)
		}
	}
	j.entries = left
}

// attempt tries a job and hands the result to the recorder.
func (q *Queue) attempt(j *job) {
	began := q.opt.Clock.Now()
	if err := q.atHand(q.hard, j); err != nil {
		q.opt.Log.Error("queue: message cannot be read", "msg_id", string(j.msg.id), "err", err)
		q.putBack(j)
		return
	}
	r := &result{job: j, outs: q.deliver(j), began: began}
	if q.hard.Err() != nil {
		r.forgetUndone()
	}
	q.results <- r
}

// forgetUndone leaves out what was cut off by the end of the queue: it was no
// try, and the next start makes one.
func (r *result) forgetUndone() {
	n := 0
	for i := range r.outs {
		if !r.outs[i].Temporary() {
			r.job.entries[n], r.outs[n] = r.job.entries[i], r.outs[i]
			n++
		}
	}
	r.job.entries, r.outs = r.job.entries[:n], r.outs[:n]
}

// deliver calls the courier.
func (q *Queue) deliver(j *job) []courier.Outcome {
	body, err := q.opt.Bodies.Open(j.msg.body)
	if err != nil {
		q.opt.Log.Error("queue: body cannot be opened", "msg_id", string(j.msg.id), "err", err)
		text := "The message could not be read from the store"
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
			text = "The message is damaged in the store"
		}
		return sameOutcome(len(j.entries), status.New(451, 3, 0, text))
	}
	defer body.Close()
	m := j.full
	t := &courier.Transfer{
		Route: j.route, From: m.Envelope.From, Rcpts: make([]envelope.Rcpt, len(j.entries)),
		Prepend: j.entries[0].row.rcpt.Prepend, Body: body, Skip: m.Skip, Size: m.Size,
		EightBit: m.EightBit, UTF8: m.UTF8, BareLines: m.BareLines, Ret: m.Envelope.Ret, EnvID: m.Envelope.EnvID,
	}
	for i, e := range j.entries {
		t.Rcpts[i] = e.row.rcpt.Rcpt
	}
	return q.opt.Courier.Deliver(q.hard, t)
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
	next := q.opt.Clock.Now().Add(q.opt.FirstRetry)
	for _, e := range entries {
		e.busy, e.row = false, nil
		if e.state == Ready {
			q.wait(e, next)
		}
	}
	q.observe()
}

// resolve begins look-ups that wait. Under q.mu.
func (q *Queue) resolve() {
	for q.running() && len(q.asking) > 0 && q.resolves < maxLookups {
		l := q.asking[0]
		q.asking = q.asking[1:]
		q.resolves++
		q.work.Go(func() { q.lookUp(l) })
	}
}

// lookUp finds the way to a domain for all who wait for it.
func (q *Queue) lookUp(l *lookup) {
	began := q.opt.Clock.Now()
	route, err := q.opt.Courier.Resolve(q.hard, l.domain)
	q.mu.Lock()
	q.resolves--
	delete(q.lookups, l.domain)
	var failed []*job
	for _, e := range l.pending {
		switch {
		case e.state != Ready || e.busy || e.job != nil:
			// Held or dropped meanwhile, or twice in the list.
		case err == nil:
			q.assign(e, route)
		case q.hard.Err() != nil:
			// Stopping: the next start looks again.
		default:
			failed = joinJob(failed, e)
		}
	}
	q.resolve()
	q.mu.Unlock()
	for _, j := range failed {
		if q.atHand(q.hard, j) != nil {
			q.putBack(j)
			continue
		}
		outs := sameOutcome(len(j.entries), err)
		took := q.opt.Clock.Now().Sub(began)
		for i := range outs {
			outs[i].Steps = append(outs[i].Steps, journal.Step{Name: "dns", Took: took})
		}
		q.results <- &result{job: j, outs: outs, began: began}
	}
}

// joinJob makes jobs of entries that failed before they had a route. Under q.mu.
func joinJob(jobs []*job, e *entry) []*job {
	e.busy = true
	for _, j := range jobs {
		if j.msg == e.msg && len(j.entries) < courier.MaxRcpts {
			j.entries = append(j.entries, e)
			return jobs
		}
	}
	return append(jobs, &job{msg: e.msg, entries: []*entry{e}})
}

// timekeeper makes entries ready when their time has come.
func (q *Queue) timekeeper() {
	for {
		timer := q.opt.Clock.NewTimer(q.due())
		select {
		case <-timer.C():
		case <-q.earlier:
		case <-q.soft.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// due makes ready what is due, and gives the time until there is more.
func (q *Queue) due() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.opt.Clock.Now()
	moved := false
	for len(q.timers) > 0 {
		e := q.timers[0]
		if e.next.After(now) {
			if moved {
				q.observe()
			}
			return e.next.Sub(now)
		}
		q.makeReady(e)
		moved = true
	}
	if moved {
		q.observe()
	}
	return time.Hour
}

// pause stops attempts while the store does not take outcomes; resume goes on.
func (q *Queue) pause() {
	q.mu.Lock()
	q.paused = true
	q.mu.Unlock()
}

func (q *Queue) resume() {
	q.mu.Lock()
	q.paused = false
	q.kick()
	q.mu.Unlock()
}

// sleep waits, on the queue's clock; false when the queue's work must end.
func (q *Queue) sleep(ctx context.Context, d time.Duration) bool {
	timer := q.opt.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
