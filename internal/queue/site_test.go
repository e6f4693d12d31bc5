package queue

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/courier"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// unreached is the outcome when no host of a site can be called.
func unreached() courier.Outcome {
	o := reply(451, 4, 1, "Connection failed: connection refused")
	o.Remote, o.Verdict = false, classify.NetworkFailure.Verdict(451)
	return o
}

// A dead site costs a few tries, not some for every message; senders are told in
// time all the same, and when it comes back all goes.
func TestDeadSiteIsFoundOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var dead atomic.Bool
		dead.Store(true)
		h.world.answer = func(to string, _ int) courier.Outcome {
			if dead.Load() && strings.HasSuffix(to, ".shared") {
				return unreached()
			}
			return sent()
		}
		h.start()
		for i := range 200 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@d%d.shared", i, i%7)))
		}
		synctest.Wait()
		if n := len(h.world.attempts()); n > firstWindow {
			t.Errorf("%d tries at once", n)
		}
		pass(time.Hour)
		tries := len(h.world.attempts())
		if tries > firstWindow+7 { // after 1, 2, 4, 8, 16 and 30 minutes
			t.Errorf("%d tries in an hour", tries)
		}
		untouched := 0
		for _, e := range h.list(Selector{}) {
			if e.Attempts == 0 {
				untouched++
			}
		}
		if untouched < 200-tries {
			t.Errorf("%d of 200 have no attempt counted after %d tries", untouched, tries)
		}
		h.enqueue(h.letterTo("a@alive.net"))
		synctest.Wait()
		if h.world.tried("a@alive.net") != 1 {
			t.Error("another site's mail waits")
		}
		pass(3*time.Hour + 6*time.Minute)
		if n := len(h.told()); n != 200 {
			t.Errorf("after four hours %d of 200 senders are told", n)
		}
		for _, d := range h.told() {
			if r := d.Rcpts[0]; r.Action != report.Delayed || r.Text != "Connection failed: connection refused" {
				t.Fatalf("told %+v", r)
			}
		}
		dead.Store(false)
		pass(9 * time.Hour) // those with attempts behind them come last
		h.empty()
		h.stop()
	})
}

// What waits for a site that never comes back is returned when it is old.
func TestDeadSiteForFiveDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(unreached())
		h.start()
		h.enqueueMany(50, "u%d@one.net")
		pass(5*24*time.Hour + 6*time.Minute)
		failed := 0
		for _, d := range h.told() {
			if d.Rcpts[0].Action == report.Failed && d.Rcpts[0].Status.String() == "5.4.7" {
				failed++
			}
		}
		if failed != 50 || len(h.told()) != 100 {
			t.Errorf("%d returned of 50, %d reports", failed, len(h.told()))
		}
		if n := len(h.world.attempts()); n > 300 { // one in half an hour
			t.Errorf("%d tries in five days", n)
		}
		h.empty()
		h.stop()
	})
}

// Who asks for a retry knows that a site is back, and need not wait for the
// queue to find out.
func TestRetryOfADeadSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var dead atomic.Bool
		dead.Store(true)
		h.world.answer = func(string, int) courier.Outcome {
			if dead.Load() {
				return unreached()
			}
			return sent()
		}
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		for i := range 50 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@one.net", i)))
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@sub.one.net", i)))
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@flaky.net", i)))
		}
		pass(time.Hour)
		dead.Store(false)
		h.world.found("flaky.net")
		do(t, 0, h.q.Retry, Selector{Domain: "other.net"})
		do(t, 50, h.q.Retry, Selector{Domain: "one.net"})
		synctest.Wait()
		if n := len(h.list(Selector{Domain: "one.net"})); n != 0 {
			t.Errorf("%d letters for one.net still wait", n)
		}
		do(t, 50, h.q.Retry, Selector{Domain: "one.net", Below: true})
		do(t, 50, h.q.Retry, Selector{Domain: "flaky.net"})
		synctest.Wait()
		h.empty()
		h.stop()
	})
}

// A domain whose name server is silent is asked once for all who wait.
func TestSilentNameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		h.enqueueMany(100, "u%d@flaky.net")
		pass(time.Hour)
		counted := 0
		for _, e := range h.list(Selector{}) {
			counted += e.Attempts
		}
		if counted == 0 || counted > 8 {
			t.Errorf("%d attempts are counted", counted)
		}
		h.world.found("flaky.net")
		pass(2 * time.Hour)
		h.empty()
		h.stop()
	})
}

// windowOf is the window of a site, 0 when it is not known.
func (h *house) windowOf(name string) int {
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	if s := h.q.sites[siteKey{name: name}]; s != nil {
		return s.window.open()
	}
	return 0
}

// The window grows while mail is taken, is not moved by what is said of
// recipients, and shrinks when the site asks for less.
func TestWindowFollowsTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var answer func() courier.Outcome
		h.world.delay = time.Second
		h.world.answer = func(string, int) courier.Outcome { return answer() } // under h.world.mu
		h.start()
		set := func(fn func() courier.Outcome) {
			h.world.mu.Lock()
			answer = fn
			h.world.mu.Unlock()
		}
		round := func(n int) {
			h.enqueueMany(n, "u%d@one.net")
			pass(time.Duration(n+2) * time.Second)
		}
		set(func() courier.Outcome { return sent() })
		round(100)
		if w := h.world.most["one.net"]; w != 20 {
			t.Errorf("at most %d at once", w)
		}
		set(func() courier.Outcome { return meant(reply(451, 7, 1, "greylisted"), classify.Greylisted) })
		h.enqueue(h.letterTo("keep@one.net"))
		round(100)
		if w := h.windowOf("one.net"); w != 0 && w < firstWindow { // 0: nothing worth to remember
			t.Errorf("greylisting makes the window %d", w)
		}
		set(func() courier.Outcome { return reply(421, 4, 5, "too busy") })
		round(1)
		before := h.windowOf("one.net")
		round(1)
		if w := h.windowOf("one.net"); w != max(before/2, 1) {
			t.Errorf("421 makes the window %d of %d", w, before)
		}
		set(func() courier.Outcome { return sent() })
		round(200)
		if w := h.windowOf("one.net"); w < 5 {
			t.Errorf("window %d after 200 good answers", w)
		}
		pass(6 * time.Hour)
		h.empty()
		h.stop()
	})
}

// A site that asks to be left alone is, for as long as the verdict says, by all
// its mail.
func TestStopSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.perSite = 1
		h.open()
		var stop atomic.Bool
		stop.Store(true)
		h.world.answer = func(string, int) courier.Outcome {
			if stop.Load() {
				o := meant(reply(451, 7, 650, "rate limited"), classify.RateLimited)
				o.Pause = 2 * time.Hour
				return o
			}
			return sent()
		}
		h.start()
		h.enqueueMany(20, "u%d@one.net")
		pass(2*time.Hour - time.Minute)
		if n := len(h.world.attempts()); n != 1 {
			t.Errorf("%d tries within the pause", n)
		}
		stop.Store(false)
		pass(2 * time.Minute)
		if n := len(h.world.attempts()); n < 20 {
			t.Errorf("%d tries after it", n)
		}
		pass(time.Hour)
		h.empty()
		h.stop()
	})
}
