package queue

// RoutesChanged has the ways to all domains found anew, also for what waits until
// its mail hosts can be reached: whoever changed the routes wants the new ones. The
// courier must know them. Attempts under way go on; entries that wait for their next
// attempt go the new way then.
func (q *Queue) RoutesChanged() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for _, d := range q.dests {
		d.sure = 0
		if d.lookup != nil {
			d.lookup.trouble.until = now
			q.askAgain(d)
		}
	}
	var waiting []*entry
	for _, s := range q.sites {
		for _, r := range s.queues {
			for b := range r.lines {
				for e := r.lines[b].first; e != nil; e = e.next {
					waiting = append(waiting, e)
				}
			}
		}
	}
	for _, e := range waiting {
		e.leave()
		q.find(e)
	}
	for _, s := range q.sites {
		q.forgetSite(s)
	}
	q.pump()
}
