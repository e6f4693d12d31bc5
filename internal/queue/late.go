package queue

import (
	"posthouse/internal/courier"
	"posthouse/internal/status"
)

// isLate reports whether an entry that cannot be tried has expired, or its
// sender should be told that it takes long. Under q.mu.
func (q *Queue) isLate(e *entry, now moment) bool {
	if e.is(fBusy) || e.state != sReady {
		return false
	}
	return now >= e.msg.expires || !e.is(fNotified|fReminded) && e.msg.notice != 0 && now >= e.msg.notice
}

// mark is when an entry that is ready and not tried must be looked at; 0: never.
func (q *Queue) mark(e *entry, now moment) moment {
	if at := e.msg.notice; at > now && at < e.msg.expires {
		return at
	}
	if e.msg.expires > now {
		return e.msg.expires
	}
	return 0
}

// remindAll has the senders told that are due to be told of a site that cannot
// be tried. Under q.mu.
func (q *Queue) remindAll(s *site) {
	for _, r := range s.queues {
		for b := range r.lines {
			q.remindLine(&r.lines[b])
		}
	}
}

// remindLine is remindAll for one line. Under q.mu.
func (q *Queue) remindLine(l *line) {
	now := q.now()
	var late []*entry
	for e := l.first; e != nil; e = e.next {
		if q.isLate(e, now) {
			late = append(late, e)
		}
	}
	q.tellLate(late)
}

// remind is remindAll for one entry. Under q.mu.
func (q *Queue) remind(e *entry) {
	if q.isLate(e, q.now()) {
		q.tellLate([]*entry{e})
	}
}

// tellLate judges entries that were not tried by what is known of their sites.
// That is no attempt: those that are not returned go on waiting. Under q.mu.
func (q *Queue) tellLate(late []*entry) {
	if len(late) > 0 && !q.running() {
		for _, e := range late {
			q.setTimer(e, q.now().add(firstTrouble)) // the store takes nothing now
		}
		return
	}
	var jobs []*job
	var whys []courier.Outcome
	for _, e := range late {
		if before := len(jobs); e.line != nil {
			why := q.lastWords(e)
			if jobs = joinJob(jobs, e); len(jobs) > before {
				whys = append(whys, why)
			}
			q.begin(e)
			e.set(fReminded, true)
			jobs[len(jobs)-1].untried = true
		}
	}
	if len(jobs) == 0 {
		return
	}
	q.work.Go(func() {
		for i, j := range jobs {
			q.failed(j, whys[i])
		}
	})
}

// lastWords is the outcome for an entry that waits in a line. Under q.mu.
func (q *Queue) lastWords(e *entry) courier.Outcome {
	if r := e.line.ready; r != nil && r.stop() != nil {
		return r.stop().outcome()
	}
	if r := e.line.ready; r != nil && r.site.trouble.fails > 0 {
		return r.site.trouble.last
	}
	if l := e.dest.lookup; l != nil && l.trouble.fails > 0 {
		return l.trouble.last
	}
	return courier.Outcome{Code: 451, Enhanced: status.Enhanced{Class: 4, Subject: 4, Detail: 5},
		Text: "There is more mail for this destination than it takes at the moment"}
}
