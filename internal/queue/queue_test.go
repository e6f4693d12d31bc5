package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		m := h.letterTo("a@one.net", "b@one.net", "c@two.net")
		m.Rcpts[1].Prepend = "Delivered-To: list@example.test\r\n"
		h.enqueue(m)
		synctest.Wait()
		tries := h.world.attempts()
		if len(tries) != 3 { // another header is another transaction
			t.Errorf("%d transactions: %v", len(tries), tries)
		}
		for _, x := range tries {
			if strings.HasPrefix(x.text, "Delivered-To") != (x.rcpts[0] == "b@one.net") || strings.Contains(x.text, "Return-Path") {
				t.Errorf("%q got %q", x.rcpts, x.text)
			}
		}
		if got := h.kinds("a@one.net"); !slices.Equal(got, []journal.Kind{journal.Relayed}) {
			t.Errorf("events %v", got)
		}
		h.empty()
		h.stop()
	})
}

func TestRecipientsOfASiteShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		var to []string
		for i := range 250 {
			to = append(to, fmt.Sprintf("u%d@d%d.shared", i, i%3))
		}
		h.enqueue(h.letterTo(to...))
		synctest.Wait()
		n := 0
		for _, x := range h.world.attempts() {
			n += len(x.rcpts)
			if len(x.rcpts) > courier.MaxRcpts {
				t.Errorf("%d recipients at once", len(x.rcpts))
			}
		}
		// A lane may begin before all three domains are known.
		if len(h.world.attempts()) > 5 || n != 250 {
			t.Errorf("%d transactions for %d recipients", len(h.world.attempts()), n)
		}
		h.empty()
		h.stop()
	})
}

// Five days: the tries, the notice after four hours, the report at the end.
func TestRetryForFiveDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(451, 7, 1, "greylisted for ever"))
		h.start()
		began := time.Now()
		h.enqueue(h.letterTo("a@one.net"))
		pass(3*time.Hour + 59*time.Minute)
		if len(h.told()) != 0 {
			t.Error("told too early")
		}
		pass(6 * 24 * time.Hour)
		tries := h.world.attempts()
		if d := tries[1].at.Sub(tries[0].at); d < 5*time.Minute || d > 6*time.Minute {
			t.Errorf("second try after %v", d)
		}
		for i := 2; i < len(tries); i++ {
			if d := tries[i].at.Sub(tries[i-1].at); d < 5*time.Minute || d > 4*time.Hour*6/5 {
				t.Errorf("try %d comes %v after the one before", i+1, d)
			}
		}
		if n := len(tries); n < 25 || n > 45 {
			t.Errorf("%d tries", n)
		}
		if last := tries[len(tries)-1].at.Sub(began); last < 5*24*time.Hour || last > 5*24*time.Hour+6*time.Minute {
			t.Errorf("last try after %v", last)
		}
		if len(h.told()) != 2 {
			t.Fatalf("%d reports", len(h.told()))
		}
		notice, final := h.told()[0], h.told()[1]
		if r := notice.Rcpts[0]; r.Action != report.Delayed || notice.Date.Sub(began) > 4*time.Hour+6*time.Minute || !r.RetryUntil.Equal(began.Add(5*24*time.Hour)) {
			t.Errorf("notice after %v: %+v", notice.Date.Sub(began), r)
		}
		if r := final.Rcpts[0]; r.Action != report.Failed || r.Status.String() != "5.4.7" || r.Text != "greylisted for ever" || r.Attempts != len(tries) {
			t.Errorf("final report: %+v", r)
		}
		if !strings.Contains(h.written()[1], "451 4.7.1 greylisted for ever") || !strings.Contains(h.written()[1], "Subject: hello") || strings.Contains(h.written()[1], "Return-Path") {
			t.Errorf("report:\n%s", h.written()[1])
		}
		kinds := h.kinds("a@one.net")
		if tail := kinds[len(kinds)-2:]; !slices.Equal(tail, []journal.Kind{journal.Bounced, journal.Reported}) || !slices.Contains(kinds, journal.Delayed) {
			t.Errorf("events %v", kinds)
		}
		h.empty()
		h.stop()
	})
}

// One recipient's fate never touches another's.
func TestOneOfThreeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			switch {
			case to == "bad@one.net":
				return reply(550, 1, 1, "no such user")
			case to == "later@one.net" && n == 1:
				return reply(451, 7, 1, "greylisted")
			}
			return sent()
		}
		h.start()
		h.enqueue(h.letterTo("good@one.net", "bad@one.net", "later@one.net"))
		synctest.Wait()
		if len(h.told()) != 1 || len(h.told()[0].Rcpts) != 1 || h.told()[0].Rcpts[0].To.String() != "bad@one.net" {
			t.Fatalf("reports %v", h.told())
		}
		list := h.list(Selector{})
		if len(list) != 1 || list[0].To != "later@one.net" || list[0].State != Waiting || list[0].Attempts != 1 || list[0].Last != "451 4.7.1 greylisted" {
			t.Errorf("%+v", list)
		}
		h.rows(2)
		pass(7 * time.Minute)
		if h.world.tried("good@one.net") != 1 || h.world.tried("bad@one.net") != 1 || h.world.tried("later@one.net") != 2 {
			t.Errorf("%v", h.world.all())
		}
		h.empty()
		h.stop()
	})
}

func TestNoReportForReportsAndForTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(550, 1, 1, "no such user"))
		h.start()
		dsn := h.letterTo("a@one.net")
		dsn.Envelope.From = addr("x@y.z")
		dsn.Envelope.From.Local, dsn.Envelope.From.Domain = "", ""
		h.enqueue(dsn)
		deaf := h.letterTo("b@one.net", "c@one.net", "d@one.net")
		deaf.Rcpts[0].Notify, deaf.Rcpts[1].Notify, deaf.Rcpts[2].Notify = "NEVER", "DELAY", "delay,failure"
		h.enqueue(deaf)
		synctest.Wait()
		if len(h.told()) != 1 || len(h.told()[0].Rcpts) != 1 || h.told()[0].Rcpts[0].To.Local != "d" {
			t.Errorf("%+v", h.told())
		}
		if got := h.kinds("a@one.net"); !slices.Equal(got, []journal.Kind{journal.Bounced}) {
			t.Errorf("events %v", got)
		}
		h.empty()
		h.stop()
	})
}

func TestUnresolvableDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.unknown["null.net"] = status.New(556, 1, 10, "null MX")
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		h.enqueue(h.letterTo("a@null.net", "b@null.net", "c@flaky.net"))
		synctest.Wait()
		if len(h.told()) != 1 || len(h.told()[0].Rcpts) != 2 || h.told()[0].Rcpts[0].Status.String() != "5.1.10" {
			t.Fatalf("%+v", h.told())
		}
		h.world.found("flaky.net")
		pass(7 * time.Minute)
		if h.world.tried("c@flaky.net") != 1 {
			t.Error("not tried again")
		}
		h.empty()
		h.stop()
	})
}

// A store that takes nothing: no more attempts, nothing lost, later it goes on.
func TestStoreFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		h.world.gate = make(chan struct{})
		h.enqueueMany(10, "a%d@one.net")
		synctest.Wait()
		begun := len(h.world.attempts())
		h.db.(*memory).setFail(errors.New("disk full"))
		h.world.gate <- struct{}{} // one is sent, and cannot be recorded
		synctest.Wait()
		pass(10 * time.Second)
		paused := len(h.world.attempts())
		if paused > begun+1 {
			t.Errorf("%d attempts began while the store failed", paused-begun)
		}
		close(h.world.gate)
		pass(10 * time.Minute)
		if n := len(h.world.attempts()); n != paused {
			t.Errorf("%d attempts began while the store failed", n-paused)
		}
		h.db.(*memory).setFail(nil)
		pass(2 * time.Minute)
		for to, n := range h.world.all() {
			if n != 1 {
				t.Errorf("%s was sent %d times", to, n)
			}
		}
		if len(h.world.all()) != 10 {
			t.Errorf("%d of 10 sent", len(h.world.all()))
		}
		h.empty()
		h.stop()
	})
}

func TestReporterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, _ int) courier.Outcome {
			if strings.HasPrefix(to, "bad") {
				return reply(550, 1, 1, "no such user")
			}
			return sent()
		}
		h.refuse = errors.New("no")
		h.start()
		for i := range 20 {
			h.enqueue(h.letterTo(fmt.Sprintf("bad%d@one.net", i)))
			h.enqueue(h.letterTo(fmt.Sprintf("good%d@one.net", i)))
		}
		pass(2 * time.Minute)
		if n := len(h.list(Selector{})); n != 20 {
			t.Errorf("%d entries left, want the 20 without a report", n)
		}
		h.setRefuse(nil)
		pass(20 * time.Minute)
		if len(h.told()) != 20 {
			t.Errorf("%d reports", len(h.told()))
		}
		h.empty()
		h.stop()
	})
}

func TestConcurrencyFollowsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.delay = time.Second
		h.world.perSite, h.world.total = 5, 7
		h.open()
		h.start()
		h.enqueueMany(100, "u%d@big.net")
		for i := range 10 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@small%d.net", i, i)))
		}
		pass(10 * time.Second)
		small := 0
		for _, x := range h.world.attempts() {
			if strings.Contains(x.rcpts[0], "small") {
				small++
			}
		}
		if small != 10 {
			t.Errorf("after 10 s %d of 10 small sites were served", small)
		}
		pass(time.Minute)
		if h.world.most["big.net"] != 5 || h.world.mostAll != 7 {
			t.Errorf("at most %d connections to the big site, %d in all", h.world.most["big.net"], h.world.mostAll)
		}
		h.empty()
		h.stop()
	})
}

func TestDamagedBodyIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		m := h.letterTo("a@one.net")
		text := []byte(letter)
		h.bodies.set(m.Body, nil)
		h.start()
		h.enqueue(m)
		synctest.Wait()
		if list := h.list(Selector{}); len(list) != 1 || list[0].State != Waiting {
			t.Errorf("%+v", list)
		}
		h.bodies.set(m.Body, text)
		pass(7 * time.Minute)
		h.empty()
		h.stop()
	})
}

func TestRefs(t *testing.T) {
	h := newHouse(t)
	m := h.letterTo("a@one.net", "b@one.net")
	h.file(m)
	var got []blob.Ref
	if err := h.q.Refs(t.Context(), func(_ id.ID, r blob.Ref) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []blob.Ref{m.Body}) {
		t.Errorf("%v", got)
	}
}
