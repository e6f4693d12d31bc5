package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/journal"
)

func TestSelectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t) // not started: operators work on a queue at rest as well
		old := h.letterTo("a@one.net", "b@two.net")
		h.file(old)
		time.Sleep(time.Hour)
		young := h.letterTo("c@one.net")
		young.Envelope.From = addr("carol@example.test")
		h.file(young)
		for name, c := range map[string]struct {
			sel  Selector
			want []string
		}{
			"all":     {Selector{}, []string{"a@one.net", "b@two.net", "c@one.net"}},
			"domain":  {Selector{Domain: "ONE.net"}, []string{"a@one.net", "c@one.net"}},
			"sender":  {Selector{Sender: "<Carol@example.test>"}, []string{"c@one.net"}},
			"message": {Selector{ID: string(old.Envelope.ID)}, []string{"a@one.net", "b@two.net"}},
			"entry":   {Selector{ID: string(old.Envelope.ID) + ".1"}, []string{"b@two.net"}},
			"age":     {Selector{OlderThan: time.Minute}, []string{"a@one.net", "b@two.net"}},
			"two":     {Selector{OlderThan: time.Minute, Domain: "one.net"}, []string{"a@one.net"}},
			"none":    {Selector{ID: "x"}, nil},
		} {
			var got []string
			for _, e := range h.list(c.sel) {
				got = append(got, e.To)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v", name, got)
			}
		}
		if _, err := h.q.Show(t.Context(), "nonsense"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Show: %v", err)
		}
	})
}

// Commands without a running server work on the store alone.
func TestOperatorsWithoutACourier(t *testing.T) {
	h := newHouse(t)
	h.file(h.letterTo("a@one.net", "b@two.net"))
	opt := h.opt
	opt.Courier = nil
	h.q = New(opt)
	do(t, 1, h.q.Hold, Selector{Domain: "one.net"})
	do(t, 1, h.q.Drop, Selector{Domain: "two.net"})
	do(t, 1, h.q.Release, Selector{})
	if list := h.list(Selector{}); len(list) != 1 || list[0].State != Ready {
		t.Errorf("%+v", list)
	}
	if err := h.q.Start(t.Context()); err == nil {
		t.Error("started without a courier")
	}
}

func do(t *testing.T, want int, fn func(context.Context, Selector) (int, error), sel Selector) {
	t.Helper()
	if n, err := fn(t.Context(), sel); n != want || err != nil {
		t.Errorf("%d, %v; want %d", n, err, want)
	}
}

func TestHoldReleaseDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			if n == 1 {
				return reply(451, 7, 1, "later")
			}
			return sent()
		}
		h.start()
		first := h.letterTo("a@one.net", "b@two.net")
		h.enqueue(first)
		h.enqueue(h.letterTo("c@two.net"))
		synctest.Wait()
		do(t, 2, h.q.Hold, Selector{Domain: "two.net"})
		do(t, 0, h.q.Hold, Selector{Domain: "two.net"})
		h.restart()
		pass(24 * time.Hour)
		if h.world.tried("a@one.net") != 2 || h.world.tried("b@two.net") != 1 {
			t.Errorf("%v", h.world.all())
		}
		do(t, 0, h.q.Retry, Selector{})
		do(t, 1, h.q.Drop, Selector{ID: string(first.Envelope.ID) + ".1"})
		do(t, 1, h.q.Release, Selector{})
		synctest.Wait()
		if h.world.tried("b@two.net")+h.world.tried("c@two.net") != 3 {
			t.Errorf("%v", h.world.all())
		}
		if got := h.kinds("b@two.net"); !slices.Equal(got, []journal.Kind{journal.Attempted, journal.Held, journal.Dropped}) {
			t.Errorf("%v", got)
		}
		if len(h.told()) != 0 {
			t.Error("somebody was told")
		}
		h.empty()
		h.stop()
	})
}

func TestRetryNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			if n < 3 {
				return reply(451, 7, 1, "later")
			}
			return sent()
		}
		h.start()
		h.enqueue(h.letterTo("a@one.net"))
		synctest.Wait()
		e, err := h.q.Show(t.Context(), h.list(Selector{})[0].ID)
		if err != nil || len(e.History) != 1 || e.History[0].Result != "451 4.7.1 later" || e.History[0].Host != "mx.remote" || !e.Next.After(time.Now()) {
			t.Errorf("%+v %v", e, err)
		}
		do(t, 1, h.q.Retry, Selector{})
		synctest.Wait()
		do(t, 1, h.q.Retry, Selector{Domain: "one.net"})
		synctest.Wait()
		h.empty()
		h.stop()
	})
}

// Operators reach entries in the middle of an attempt.
func TestHoldAndDropWhileTrying(t *testing.T) {
	for _, outcome := range []courier.Outcome{sent(), reply(451, 7, 1, "later"), reply(550, 1, 1, "no")} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.world.answer = always(outcome)
			h.world.gate = make(chan struct{})
			h.start()
			h.enqueue(h.letterTo("hold@one.net"))
			h.enqueue(h.letterTo("drop@two.net"))
			synctest.Wait()
			do(t, 1, h.q.Hold, Selector{Domain: "one.net"})
			do(t, 1, h.q.Drop, Selector{Domain: "two.net"})
			close(h.world.gate)
			synctest.Wait()
			list := h.list(Selector{})
			if outcome.Temporary() {
				if len(list) != 1 || list[0].To != "hold@one.net" || list[0].State != Held || list[0].Attempts != 1 {
					t.Errorf("%+v", list)
				}
				do(t, 1, h.q.Drop, Selector{})
			}
			for _, d := range h.told() {
				if d.Rcpts[0].To.Local == "drop" {
					t.Error("the sender of a dropped message was told")
				}
			}
			h.empty()
			h.stop()
		})
	}
}

// Who asks for a retry while an attempt is under way gets another if that fails, once.
func TestRetryWhileTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			if n < 3 {
				return reply(451, 7, 1, "later")
			}
			return sent()
		}
		h.world.gate = make(chan struct{})
		h.start()
		h.enqueue(h.letterTo("a@one.net", "b@two.net"))
		synctest.Wait()
		for range 2 {
			do(t, 1, h.q.Retry, Selector{Domain: "one.net"})
		}
		close(h.world.gate)
		synctest.Wait()
		if h.world.tried("a@one.net") != 2 || h.world.tried("b@two.net") != 1 {
			t.Errorf("tries at once: %v", h.world.all())
		}
		pass(time.Hour)
		h.empty()
		h.stop()
	})
}

func TestRefile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		m := h.letterTo("a@one.net")
		for range 2 {
			if err := h.q.Refile(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		h.start()
		pass(time.Hour)
		if list := h.list(Selector{}); len(list) != 1 || list[0].State != Held || len(h.world.attempts()) != 0 {
			t.Errorf("%+v", list)
		}
		do(t, 1, h.q.Release, Selector{})
		synctest.Wait()
		h.empty()
		h.stop()
	})
}
