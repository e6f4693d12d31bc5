package queue

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/journal"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// That a sender is told is no attempt: neither the reports nor the journal nor an
// operator's list speak of any, and what waited goes as soon as it may.
func TestToldWithoutAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		if err := h.q.Suspend(t.Context(), Suspension{Domain: "stop.net"}); err != nil {
			t.Fatal(err)
		}
		h.enqueue(h.letterTo("old@stop.net"))
		pass(24 * time.Hour)
		h.enqueue(h.letterTo("new@stop.net"))
		pass(4*24*time.Hour + time.Minute)
		told := h.told()
		if len(told) != 3 || told[0].Action() != report.Delayed || told[1].Action() != report.Delayed || told[2].Action() != report.Failed {
			t.Fatalf("%d reports", len(told))
		}
		for i, text := range h.written() {
			if r := told[i].Rcpts[0]; r.Attempts != 0 || !r.LastAttempt.IsZero() {
				t.Errorf("report %d tells of %d attempts, the last %v", i, r.Attempts, r.LastAttempt)
			}
			if strings.Contains(text, "Tried") || strings.Contains(text, "Last-Attempt-Date") || strings.Contains(text, "receiving server") ||
				!strings.Contains(text, "This mail server sends nothing there at the moment.") {
				t.Errorf("report %d:\n%s", i, text)
			}
		}
		if got := h.eventsOf(journal.Attempted); len(got) != 0 {
			t.Errorf("%+v", got[0])
		}
		if got := h.eventsOf(journal.Delayed); len(got) != 2 || !strings.Contains(got[0].Text, "suspended by the operators") {
			t.Errorf("%+v", got)
		}
		if list := h.list(Selector{}); len(list) != 1 || list[0].Attempts != 0 || list[0].State != Ready || !strings.Contains(list[0].Why, "suspended") {
			t.Errorf("%+v", list)
		}
		h.restart()
		if _, err := h.q.Resume(t.Context(), Suspension{Domain: "stop.net"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if h.world.tried("new@stop.net") != 1 || h.world.tried("old@stop.net") != 0 || len(h.told()) != 3 {
			t.Errorf("%v, %d reports", h.world.all(), len(h.told()))
		}
		h.empty()
		h.stop()
	})
}

// What was tried and then waits for a silent name server has the attempts that it
// had.
func TestToldOfTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.opt.FirstRetry, h.opt.MaxRetry = 2*time.Second, 4*time.Hour
		h.opt.DelayNotice, h.opt.ExpireAfter = 5*time.Second, 14*time.Second
		h.open()
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		began := time.Now()
		h.enqueue(h.letterTo("a@flaky.net"))
		pass(15 * time.Second) // nobody asks again before a minute has passed
		told := h.told()
		if len(told) != 2 || told[0].Action() != report.Delayed || told[1].Action() != report.Failed {
			t.Fatalf("%d reports", len(told))
		}
		for i, d := range told {
			if r := d.Rcpts[0]; r.Attempts != 1 || !r.LastAttempt.Equal(began) {
				t.Errorf("report %d tells of %d attempts, the last %v", i, r.Attempts, r.LastAttempt)
			}
		}
		if got := h.eventsOf(journal.Attempted); len(got) != 1 || !got[0].At.Equal(began) {
			t.Errorf("%d attempts in the journal", len(got))
		}
		h.empty()
		h.stop()
	})
}
