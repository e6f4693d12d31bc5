package queue

import "time"

// timers is a heap of entries by time: of the next attempt for one that waits,
// of the next word to its sender for one that is ready. Four children to a node
// and the times beside the pointers keep it quick with a million entries.
type timers []timer

type timer struct {
	at moment
	e  *entry
}

const heapArity = 4

// before orders timers; those of one message at one time come together.
func (a *timer) before(b *timer) bool {
	if a.at != b.at || a.e.msg == b.e.msg {
		return a.at < b.at || a.at == b.at && a.e.n < b.e.n
	}
	return string(a.e.msg.key[:]) < string(b.e.msg.key[:])
}

// set puts an entry into the heap, or moves it there.
func (t *timers) set(e *entry, at moment) {
	if e.timer < 0 {
		*t = append(*t, timer{})
		e.timer = int32(len(*t) - 1)
		t.up(int(e.timer), timer{at, e})
		return
	}
	i := int(e.timer)
	if was := (*t)[i].at; at < was {
		t.up(i, timer{at, e})
	} else if at > was {
		t.down(i, timer{at, e})
	}
}

// unset takes an entry out of the heap.
func (t *timers) unset(e *entry) {
	i := int(e.timer)
	if i < 0 {
		return
	}
	e.timer = -1
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*t = old[:len(old)-1]
	if last.e == e {
		return
	}
	if i > 0 && last.before(&(*t)[(i-1)/heapArity]) {
		t.up(i, last)
	} else {
		t.down(i, last)
	}
}

func (t timers) put(i int, x timer) {
	t[i] = x
	x.e.timer = int32(i)
}

// up moves x from place i towards the root.
func (t timers) up(i int, x timer) {
	for i > 0 {
		parent := (i - 1) / heapArity
		if !x.before(&t[parent]) {
			break
		}
		t.put(i, t[parent])
		i = parent
	}
	t.put(i, x)
}

// down moves x from place i towards the leaves.
func (t timers) down(i int, x timer) {
	for {
		first := heapArity*i + 1
		if first >= len(t) {
			break
		}
		least := first
		for c := first + 1; c < min(first+heapArity, len(t)); c++ {
			if t[c].before(&t[least]) {
				least = c
			}
		}
		if !t[least].before(&x) {
			break
		}
		t.put(i, t[least])
		i = least
	}
	t.put(i, x)
}

// setTimer is timers.set; it wakes the timekeeper for an earlier time. Under q.mu.
func (q *Queue) setTimer(e *entry, at moment) {
	q.timers.set(e, at)
	if e.timer == 0 {
		q.wakeTimekeeper()
	}
}

func (q *Queue) wakeTimekeeper() {
	select {
	case q.earlier <- struct{}{}:
	default:
	}
}

// timekeeper does what is due.
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

// maxDue bounds what one hold of the lock does.
const maxDue = 1000

// due makes ready what is due, and gives the time until there is more.
func (q *Queue) due() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	var late []*entry
	moved := 0
	for len(q.timers) > 0 && q.timers[0].at <= now && moved < maxDue {
		e := q.timers[0].e
		q.timers.unset(e)
		if moved++; e.state == sWaiting {
			q.makeReady(e)
		} else if e.state == sReady && !e.is(fBusy) {
			late = append(late, e)
		}
	}
	q.alarmsDue(now)
	if moved > 0 {
		q.tellLate(late)
		q.pump()
		q.observe()
	}
	return q.nextDue(now)
}

// nextDue is the time until there is something to do. Under q.mu.
func (q *Queue) nextDue(now moment) time.Duration {
	next := now.add(time.Hour)
	if len(q.timers) > 0 {
		next = min(next, q.timers[0].at)
	}
	if len(q.alarms) > 0 {
		next = min(next, q.alarms[0].at)
	}
	return time.Duration(max(next-now, 0))
}
