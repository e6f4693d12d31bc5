package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/journal"
	"posthouse/internal/report"
	"posthouse/internal/shaping"
)

func TestMoreSelectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.opt.Sources = []Source{{Name: "main"}, {Name: "bulk", Streams: []envelope.Stream{envelope.Bulk}}}
		h.open()
		h.world.answer = always(reply(451, 7, 1, "later"))
		h.start()
		m := h.letterTo("a@x.shared", "b@x.shared", "a@one.net")
		h.enqueue(m)
		bulk := h.letterTo("c@y.shared")
		bulk.Envelope.Stream = envelope.Bulk
		h.enqueue(bulk)
		synctest.Wait()
		do(t, 1, h.q.Hold, Selector{Recipient: "B@X.shared"})
		for name, c := range map[string]struct {
			sel  Selector
			want string
		}{
			"recipient":         {Selector{Recipient: "<A@one.net>"}, "a@one.net"},
			"other domain":      {Selector{Recipient: "a@one.net", Domain: "two.net"}, ""},
			"no address":        {Selector{Recipient: "nobody"}, ""},
			"site":              {Selector{Site: "shared"}, "a@x.shared b@x.shared c@y.shared"},
			"source":            {Selector{Source: "bulk"}, "c@y.shared"},
			"no such source":    {Selector{Source: "x"}, ""},
			"state":             {Selector{State: Held}, "b@x.shared"},
			"priority":          {Selector{Priority: "low"}, "c@y.shared"},
			"site and priority": {Selector{Site: "shared", Priority: "normal", State: Waiting}, "a@x.shared"},
		} {
			var got []string
			for _, e := range h.list(c.sel) {
				got = append(got, e.To)
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: %s", name, s)
			}
		}
		h.stop()
	})
}

// A list comes in pages, in the order of age, whatever goes on meanwhile.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var want []string
		for i := range 40 {
			m := h.letterTo("a@one.net", "b@two.net", "c@one.net")
			h.file(m)
			for n := range 3 {
				want = append(want, entryID(m.Envelope.ID, uint16(n)))
			}
			if i%3 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		slices.Sort(want)
		for _, limit := range []int{1, 7, 120, 1000} {
			var got []string
			for after := ""; ; {
				list, err := h.q.List(t.Context(), Selector{}, Page{After: after, Limit: limit})
				if err != nil {
					t.Fatal(err)
				}
				if len(list) == 0 {
					break
				}
				if len(list) > limit {
					t.Fatalf("%d entries in a page of %d", len(list), limit)
				}
				for _, e := range list {
					got = append(got, e.ID)
				}
				after = got[len(got)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d entries, want %d", limit, len(got), len(want))
			}
		}
		list, err := h.q.List(t.Context(), Selector{Recipient: "b@two.net"}, Page{Limit: 10})
		if err != nil || len(list) != 10 || list[9].To != "b@two.net" {
			t.Errorf("%d entries for a recipient, %v", len(list), err)
		}
	})
}

// A suspended domain's mail waits, old and new, across restarts, and its
// neighbours at the same hosts go on; senders are told in time.
func TestSuspendDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.perSite, h.world.delay = 1, time.Second
		h.open()
		h.start()
		for i := range 20 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@stop.shared", i)))
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@go.shared", i)))
		}
		synctest.Wait()
		stop := Suspension{Domain: "STOP.shared", Why: "they asked"}
		for range 2 {
			if err := h.q.Suspend(t.Context(), stop); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		h.restart()
		h.enqueue(h.letterTo("new@stop.shared"))
		pass(time.Minute)
		left := h.list(Selector{})
		if len(left) < 20 || h.world.tried("new@stop.shared") != 0 || h.world.tried("u19@go.shared") != 1 {
			t.Errorf("%d left, %v", len(left), h.world.all())
		}
		if e := left[0]; e.Domain != "stop.shared" || !strings.Contains(e.Why, "suspended by an operator") || !strings.Contains(e.Why, "they asked") {
			t.Errorf("%+v", e)
		}
		traffic, err := h.q.Sites(t.Context())
		if err != nil || len(traffic.Suspended) != 1 || traffic.Suspended[0].Domain != "stop.shared" || len(traffic.Sites) != 1 || traffic.Sites[0].Suspended == "" {
			t.Errorf("%+v, %v", traffic, err)
		}
		pass(5 * time.Hour)
		if n := len(h.told()); n != len(left) || h.told()[0].Rcpts[0].Action != report.Delayed || h.told()[0].Rcpts[0].Enhanced.String() != "4.3.2" {
			t.Errorf("%d of %d senders told", n, len(left))
		}
		if was, err := h.q.Resume(t.Context(), stop); !was || err != nil {
			t.Errorf("%v, %v", was, err)
		}
		if was, err := h.q.Resume(t.Context(), stop); was || err != nil {
			t.Errorf("twice: %v, %v", was, err)
		}
		pass(9 * time.Hour)
		h.empty()
		h.stop()
		if err := h.q.Suspend(t.Context(), Suspension{}); !errors.Is(err, ErrTarget) {
			t.Errorf("a suspension of nothing: %v", err)
		}
	})
}

func TestSuspendSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		if err := h.q.Suspend(t.Context(), Suspension{Site: "Shared"}); err != nil {
			t.Fatal(err)
		}
		h.enqueue(h.letterTo("a@x.shared", "b@y.shared", "c@one.net"))
		pass(time.Hour)
		if h.world.tried("a@x.shared")+h.world.tried("b@y.shared") != 0 || h.world.tried("c@one.net") != 1 {
			t.Errorf("%v", h.world.all())
		}
		// What is suspended is not what a retry is for.
		do(t, 0, h.q.Retry, Selector{})
		synctest.Wait()
		if h.world.tried("a@x.shared") != 0 {
			t.Error("a retry went past the suspension")
		}
		if was, err := h.q.Resume(t.Context(), Suspension{Site: "shared"}); !was || err != nil {
			t.Errorf("%v, %v", was, err)
		}
		synctest.Wait()
		h.empty()
		h.stop()
	})
}

// Entries are sent another way, for as long as an operator wants, across
// restarts.
func TestReroute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(_ string, n int) courier.Outcome {
			if n < 3 {
				return reply(451, 7, 1, "later")
			}
			return sent()
		}
		h.start()
		h.enqueue(h.letterTo("a@one.net", "b@two.net"))
		synctest.Wait()
		const way = "smtp://user:secret@relay.example:2525"
		if n, err := h.q.Reroute(t.Context(), Selector{Domain: "one.net"}, way); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		h.restart()
		if e := h.list(Selector{Domain: "one.net"})[0]; e.Via != "smtp://user:xxxxx@relay.example:2525" {
			t.Errorf("%+v", e)
		}
		do(t, 2, h.q.Retry, Selector{})
		synctest.Wait()
		sites := func() string {
			var list []string
			for _, x := range h.world.attempts()[len(h.world.attempts())-2:] {
				list = append(list, x.rcpts[0]+" "+x.asked.Route.Site)
			}
			slices.Sort(list)
			return strings.Join(list, ", ")
		}
		if got := sites(); got != "a@one.net "+way+", b@two.net two.net" {
			t.Errorf("went %s", got)
		}
		if n, err := h.q.Reroute(t.Context(), Selector{}, "mx"); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		do(t, 2, h.q.Retry, Selector{})
		synctest.Wait()
		if got := sites(); got != "a@one.net one.net, b@two.net two.net" {
			t.Errorf("then went %s", got)
		}
		for _, way := range []string{"", "http://x", "smtp://h:99999", "smtp://h:0", "smtp://:25", "smtp://u:secret@h/x", "smtp://a b", "smtp://u@h"} {
			if _, err := h.q.Reroute(t.Context(), Selector{}, way); !errors.Is(err, ErrWay) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", way, err)
			}
		}
		if got := h.kinds("a@one.net"); !slices.Contains(got, journal.Rerouted) {
			t.Errorf("events %v", got)
		}
		h.empty()
		if n := len(h.q.dests); n != 0 {
			t.Errorf("%d domains are left in memory", n)
		}
		h.stop()
	})
}

// Every entry can say what it waits for.
func TestWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.delay = time.Minute
		h.world.answer = func(to string, _ int) courier.Outcome {
			switch {
			case strings.HasSuffix(to, "@dead.net"):
				return unreached()
			case strings.HasSuffix(to, "@grey.net"):
				return reply(451, 7, 1, "come again")
			}
			return sent()
		}
		h.opt.Limits = limits(t, shaping.Limit{Match: "capped.net", Connections: 1},
			shaping.Limit{Match: "paced.net", MessageRate: shaping.Rate{Count: 1, Per: time.Hour}})
		h.open()
		h.start()
		for i := range 30 {
			for _, d := range []string{"dead", "grey", "capped", "paced", "busy", "held"} {
				h.enqueue(h.letterTo(fmt.Sprintf("u%d@%s.net", i, d)))
			}
		}
		synctest.Wait()
		if _, err := h.q.Hold(t.Context(), Selector{Domain: "held.net"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute + time.Second)
		for domain, want := range map[string]string{
			"dead.net":   "nothing goes to its mail hosts after 1 failures: 451 4.4.1 Connection failed",
			"grey.net":   "waits for its next attempt",
			"capped.net": "the limit of 1 connections",
			"paced.net":  "the limit of 1/h",
			"busy.net":   "waits for its turn",
			"held.net":   "held by an operator",
		} {
			found := false
			for _, e := range h.list(Selector{Domain: domain}) {
				found = found || strings.HasPrefix(e.Why, want) && (e.Until.After(time.Now()) == (domain == "dead.net" || domain == "grey.net" || domain == "paced.net"))
			}
			if !found {
				t.Errorf("no entry of %s says %q: %q", domain, want, h.list(Selector{Domain: domain})[10].Why)
			}
		}
		h.stop()
	})
}
