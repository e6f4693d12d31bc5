package queue

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/status"
)

// Tries that somebody asks for come besides the regular ones: those stay where they
// were, and the intervals between them, across restarts.
func TestRetryKeepsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(451, 7, 1, "later"))
		h.start()
		h.enqueue(h.letterTo("a@one.net"))
		synctest.Wait()
		due := h.list(Selector{})[0].Next
		for i := range 4 {
			pass(30 * time.Second)
			if i == 2 { // asked for without a server
				h.stop()
				h.open()
			}
			do(t, 1, h.q.Retry, Selector{})
			if i >= 2 {
				h.restart()
			}
			synctest.Wait()
			e := h.list(Selector{})[0]
			if e.Attempts != i+2 || h.world.tried("a@one.net") != i+2 || e.State != Waiting || !e.Next.Equal(due) {
				t.Errorf("after %d more: %d attempts, %s, next %v, want %v", i+1, e.Attempts, e.State, e.Next, due)
			}
		}
		pass(time.Until(due))
		if n := h.world.tried("a@one.net"); n != 6 {
			t.Errorf("%d attempts when the regular one was due", n)
		}
		if wait := time.Until(h.list(Selector{})[0].Next); wait < 10*time.Minute || wait > 12*time.Minute {
			t.Errorf("then the next comes after %v", wait)
		}
		h.stop()
	})
}

// What is dead is not left alone for longer because somebody asked for it.
func TestRetryKeepsTheTimesOfTheDead(t *testing.T) {
	for _, domain := range []string{"dead.net", "flaky.net"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			var alive atomic.Bool
			h.world.answer = func(string, int) courier.Outcome {
				if alive.Load() {
					return sent()
				}
				return unreached()
			}
			h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
			h.start()
			h.enqueue(h.letterTo("a@" + domain))
			synctest.Wait()
			due := h.list(Selector{})[0].Next
			for range 9 {
				pass(30 * time.Second)
				do(t, 1, h.q.Retry, Selector{})
				synctest.Wait()
			}
			if e := h.list(Selector{})[0]; !e.Next.Equal(due) || e.Attempts != 10 {
				t.Errorf("%s: next %v, want %v, %d attempts", domain, e.Next, due, e.Attempts)
			}
			alive.Store(true)
			h.world.found("flaky.net")
			pass(time.Until(due))
			h.empty()
			h.stop()
		})
	}
}

// Those that wait for a dead site wait no longer either, when they are the ones that
// are tried.
func TestRetryOfManyForADeadSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(unreached())
		h.start()
		h.enqueueMany(20, "u%d@one.net")
		pass(30*time.Minute + time.Second)
		site := func() Site {
			traffic, err := h.q.Sites(t.Context())
			if err != nil || len(traffic.Sites) != 1 {
				t.Fatalf("%+v, %v", traffic, err)
			}
			return traffic.Sites[0]
		}
		before, next := site(), map[string]time.Time{}
		for _, e := range h.list(Selector{}) {
			next[e.ID] = e.Next
		}
		tries := len(h.world.attempts())
		for i := range 5 {
			do(t, 20, h.q.Retry, Selector{})
			synctest.Wait()
			if now := site(); now.Fails != before.Fails || !now.Until.Equal(before.Until) {
				t.Errorf("retry %d: %d failures, until %v; want %d, %v", i+1, now.Fails, now.Until, before.Fails, before.Until)
			}
		}
		if n := len(h.world.attempts()); n != tries+5 {
			t.Errorf("%d attempts", n-tries)
		}
		for _, e := range h.list(Selector{}) {
			if e.Next.After(next[e.ID]) && e.Next.After(before.Until) {
				t.Errorf("%s: next %v, was %v, until %v", e.To, e.Next, next[e.ID], before.Until)
			}
		}
		h.stop()
	})
}
