package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
)

// A restart neither loses an entry nor repeats what was recorded.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			if strings.HasPrefix(to, "later") && n < 3 {
				return reply(451, 7, 1, "not yet")
			}
			return sent()
		}
		h.start()
		for i := range 20 {
			h.enqueue(h.letterTo(fmt.Sprintf("ok%d@one.net", i), fmt.Sprintf("later%d@one.net", i)))
		}
		synctest.Wait()
		h.stop()
		h.rows(40)
		h.file(h.letterTo("new@one.net")) // a crash between the commit and Enqueued
		h.open()
		h.start()
		synctest.Wait()
		if h.world.tried("new@one.net") != 1 || h.world.tried("later3@one.net") != 1 {
			t.Errorf("%v", h.world.all())
		}
		pass(time.Hour)
		for to, n := range h.world.all() {
			want := 1
			if strings.HasPrefix(to, "later") {
				want = 3
			}
			if n != want {
				t.Errorf("%s was tried %d times", to, n)
			}
		}
		h.empty()
		h.stop()
	})
}

func TestStopWaitsAndThenCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.gate = make(chan struct{})
		h.start()
		h.enqueue(h.letterTo("a@one.net"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := h.q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
		h.rows(2)
		h.goesOnAfterStart("a@one.net")
	})
}

// Whom nobody is spoken to for yet does not keep the queue from stopping: that was no
// try, and there is another after the start.
func TestStopLeavesWhatHasNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.gate = make(chan struct{})
		h.start()
		h.enqueue(h.letterTo("a@deaf.net", "b@deaf.net"))
		synctest.Wait()
		began := time.Now()
		if err := h.q.Close(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
		h.rows(3)
		h.goesOnAfterStart("a@deaf.net")
	})
}

// goesOnAfterStart opens a queue that was cut off, and checks that a recipient is
// tried a second time at once.
func (h *house) goesOnAfterStart(to string) {
	h.t.Helper()
	h.world.gate = nil
	h.open()
	h.start()
	synctest.Wait()
	if h.world.tried(to) != 2 {
		h.t.Error("not tried at once after the start")
	}
	h.empty()
	h.stop()
}
