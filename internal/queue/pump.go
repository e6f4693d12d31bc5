package queue

import (
	"container/heap"
	"time"

	"posthouse/internal/courier"
)

// patience is for how long a site's attempts may go without one beginning or
// ending before those that wait get another lane, even if they are no more than
// those under way: a site that answers quickly gets few connections.
const patience = 500 * time.Millisecond

// turns are the sites that have something to do, in order, one list per band.
type turns struct {
	lists  [bands][]*ready
	picker picker
}

// enrol gives a ready queue its turn in the list of its most urgent entry. Under q.mu.
func (q *Queue) enrol(r *ready) {
	mask := r.waiting()
	if mask == 0 {
		return
	}
	b := leastBand(mask)
	if r.enrolled&(1<<b) != 0 {
		return
	}
	r.enrolled |= 1 << b
	q.turns.lists[b] = append(q.turns.lists[b], r)
}

// next takes the next from the lists; nil when they are empty.
func (t *turns) next() *ready {
	var mask uint8
	for b := range t.lists {
		if len(t.lists[b]) > 0 {
			mask |= 1 << b
		}
	}
	if mask == 0 {
		return nil
	}
	b := t.picker.pick(mask)
	r := t.lists[b][0]
	t.lists[b][0] = nil
	t.lists[b] = t.lists[b][1:]
	r.enrolled &^= 1 << b
	return r
}

// pump begins attempts while there are lanes and entries that may go. Under q.mu.
func (q *Queue) pump() {
	for q.running() && q.lanes < q.total {
		j := q.nextJob()
		if j == nil {
			return
		}
		q.lanes++
		q.work.Go(func() { q.lane(j) })
	}
}

// lane makes attempts, one after another, as the turns come.
func (q *Queue) lane(j *job) {
	for j != nil {
		outs := q.attempt(j)
		j = q.ended(j, outs)
	}
}

// ended counts an attempt out, and gives the lane its next. outs is nil if there
// was none.
func (q *Queue) ended(j *job, outs []courier.Outcome) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := j.ready
	s := r.site
	busy := s.busy
	s.busy--
	s.moved = q.now()
	for _, m := range r.meters {
		m.busy--
	}
	q.passOn(r)
	if outs == nil {
		s.trouble.probing = s.trouble.probing && !j.probe
	} else {
		q.learn(j, outs, busy)
	}
	for _, other := range s.queues {
		q.enrol(other)
	}
	q.forgetSite(s)
	q.lanes--
	q.uncrowd()
	if !q.running() || q.lanes >= q.total {
		return nil
	}
	next := q.nextJob()
	if next != nil {
		q.lanes++
		q.pump()
	}
	return next
}

// uncrowd gives those another turn that found too few lanes: one, for the lane
// that has become free, or all while there is room for everybody. Under q.mu.
func (q *Queue) uncrowd() {
	for len(q.crowd) > 0 {
		first := q.crowd[0]
		q.crowd[0] = nil
		q.crowd = q.crowd[1:]
		first.crowded = false
		q.enrol(first)
		if q.lanes >= q.total-q.total/4 {
			return
		}
	}
}

// nextJob begins the job whose turn it is; nil when nothing may begin now.
// Under q.mu.
func (q *Queue) nextJob() *job {
	now := q.now()
	for {
		r := q.turns.next()
		if r == nil {
			return nil
		}
		if r.n > 0 && q.mayBegin(r, now) {
			j := q.take(r, now)
			q.enrol(r)
			if j != nil {
				return j
			}
		}
		q.passOn(r)
	}
}

// mayBegin reports whether an attempt may begin now. If not, something is set to
// give r another turn. Under q.mu.
func (q *Queue) mayBegin(r *ready, now moment) bool {
	s := r.site
	switch {
	case r.stop() != nil:
		return false // until it is resumed
	case s.trouble.fails > 0 && now < s.trouble.until:
		q.wakeSite(s, s.trouble.until)
		return false
	case s.trouble.probing:
		return false // until it ends
	case s.busy >= s.window.open():
		return false // until one ends
	case s.busy > 0 && s.ready() <= s.busy && now < s.moved.add(patience):
		q.wakeReady(r, s.moved.add(patience))
		return false
	}
	return !q.limited(r, now) && q.roomFor(r)
}

// roomFor keeps part of the lanes for those that have none, and some of that for
// sites that are not known to fail or to be slow: however many slow sites there are and
// however much waits for them, mail for another finds a lane. Under q.mu.
func (q *Queue) roomFor(r *ready) bool {
	s := r.site
	limit := q.total - q.total/4
	if s.busy == 0 {
		limit = q.total - q.total/10
		if s.trouble.fails == 0 && s.window.cutAt == 0 && !s.slow() {
			limit = q.total
		}
	}
	if q.lanes < max(limit, 1) {
		return true
	}
	if !r.crowded {
		r.crowded = true
		q.crowd = append(q.crowd, r)
	}
	return false
}

// take makes the job of a ready queue whose turn it is: the first entry, and
// those that can share its transaction. nil when none is left. Under q.mu.
func (q *Queue) take(r *ready, now moment) *job {
	for r.n > 0 {
		l := &r.lines[r.picker.pick(r.waiting())]
		e := l.first
		route := q.routeOf(e.dest)
		if route == nil || route.Site != r.site.key.name {
			// What was known of the domain has changed.
			e.leave()
			q.find(e)
			continue
		}
		if right := q.readyOf(r.site, e.dest, route); right != r {
			e.leave()
			q.assign(e, route)
			continue
		}
		j := &job{msg: e.msg, ready: r, route: route, began: now, probe: r.site.trouble.fails > 0, stood: r.site.trouble.stood}
		for ; e != nil && len(j.entries) < courier.MaxRcpts; e = l.first {
			if e.msg != j.msg || len(j.entries) > 0 && (e.prepend != j.entries[0].prepend || !sameWay(e, j.entries[0])) {
				break
			}
			q.begin(e)
			j.entries = append(j.entries, e)
		}
		j.regular = j.firstDue()
		r.site.busy++
		r.site.moved = now
		r.site.trouble.probing = j.probe
		for _, m := range r.meters {
			m.begun(now)
		}
		return j
	}
	return nil
}

// sameWay reports whether two entries of one line can share a transaction.
func sameWay(a, b *entry) bool {
	return a.dest == b.dest || a.dest.route != nil && b.dest.route != nil && a.dest.route.Site == b.dest.route.Site
}

// begin makes an entry busy. Under q.mu.
func (q *Queue) begin(e *entry) {
	e.leave()
	q.timers.unset(e)
	e.set(fBusy, true)
	e.set(fAgain, false)
}

// alarm is when a site or a ready queue is to get another turn.
type alarm struct {
	at    moment
	site  *site
	ready *ready
	dest  *dest
}

// alarms is a heap by time. One that was set for another time since is ignored.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	x := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*a = old[:len(old)-1]
	return x
}

// wakeSite sets an alarm for a site, wakeReady for a ready queue. Under q.mu.
func (q *Queue) wakeSite(s *site, at moment) {
	if s.wake == 0 || at < s.wake {
		s.wake = at
		q.setAlarm(alarm{at: at, site: s})
	}
}

func (q *Queue) wakeReady(r *ready, at moment) {
	if r.wake == 0 || at < r.wake {
		r.wake = at
		q.setAlarm(alarm{at: at, ready: r})
	}
}

func (q *Queue) setAlarm(a alarm) {
	heap.Push(&q.alarms, a)
	if q.alarms[0] == a {
		q.wakeTimekeeper()
	}
}

// alarmsDue gives turns to those whose time has come. Under q.mu.
func (q *Queue) alarmsDue(now moment) {
	rang := false
	for len(q.alarms) > 0 && q.alarms[0].at <= now {
		a := heap.Pop(&q.alarms).(alarm)
		rang = true
		switch {
		case a.site != nil && a.site.wake == a.at:
			a.site.wake = 0
			for _, r := range a.site.queues {
				q.enrol(r)
			}
			q.forgetSite(a.site)
		case a.ready != nil && a.ready.wake == a.at:
			a.ready.wake = 0
			q.enrol(a.ready)
		case a.dest != nil:
			q.askAgain(a.dest)
		}
	}
	if rang {
		q.pump()
	}
}
