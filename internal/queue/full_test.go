package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
)

// TestReportsWaitForRoom keeps what is to be told until there is room for it: of
// failures with their entries, and of what was sent without sending it again.
func TestReportsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, _ int) courier.Outcome {
			if to == "bad@one.net" {
				return reply(550, 1, 1, "no such user")
			}
			return knowing(false, false)
		}
		h.refuse = blob.ErrFull
		h.start()
		m := h.letterTo("a@old.net")
		m.Rcpts[0].Notify = "SUCCESS"
		h.enqueue(h.letterTo("bad@one.net"))
		h.enqueue(m)
		pass(24 * time.Hour)
		if n := h.world.tried("a@old.net"); n != 1 || len(h.told()) != 0 || len(h.q.messages) != 2 {
			t.Errorf("sent %d times, %d reports, %d messages wait", n, len(h.told()), len(h.q.messages))
		}
		h.setRefuse(nil)
		h.enqueue(h.letterTo("c@two.net"))
		pass(time.Hour)
		about := map[string]bool{}
		for _, d := range h.told() {
			about[d.Rcpts[0].To.String()] = true
		}
		if len(about) != 2 || !about["a@old.net"] || !about["bad@one.net"] || h.world.tried("a@old.net") != 1 {
			t.Errorf("told of %v, sent %d times", about, h.world.tried("a@old.net"))
		}
		if h.world.tried("c@two.net") != 1 {
			t.Error("the queue does not go on")
		}
		h.empty()
		h.stop()
	})
}
