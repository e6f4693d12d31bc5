package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/shaping"
	"posthouse/internal/smtp"
)

func limits(t *testing.T, list ...shaping.Limit) []shaping.Limit {
	t.Helper()
	for i := range list {
		l, err := list[i].Parse()
		if err != nil {
			t.Fatal(err)
		}
		list[i] = l
	}
	return list
}

// One provider's sites share its connections, and nobody else waits for them.
func TestProviderCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.delay = time.Second
		h.opt.Limits = limits(t, shaping.Limit{Match: "*.big.net", Connections: 3})
		h.open()
		h.start()
		for i := range 120 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@mx%d.big.net", i, i%4)))
		}
		h.enqueue(h.letterTo("a@small.net"))
		synctest.Wait()
		if h.world.tried("a@small.net") != 1 {
			t.Error("another site's mail waits")
		}
		pass(41 * time.Second)
		if h.world.mostAll != 4 { // and the small one
			t.Errorf("%d at once", h.world.mostAll)
		}
		h.empty()
		if n := len(h.q.meters); n != 0 {
			t.Errorf("%d meters are left", n)
		}
		h.stop()
	})
}

// A domain's rate holds in every stretch of time, and does not slow its
// neighbours at the same hosts.
func TestMessageRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.opt.Limits = limits(t, shaping.Limit{Match: "slow.shared", MessageRate: shaping.Rate{Count: 10, Per: time.Minute}},
			shaping.Limit{Match: "*", Connections: 2})
		h.open()
		h.start()
		for i := range 50 {
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@slow.shared", i)))
			h.enqueue(h.letterTo(fmt.Sprintf("u%d@free.shared", i)))
		}
		synctest.Wait()
		var slow []time.Time
		free := 0
		count := func() {
			slow, free = nil, 0
			for _, x := range h.world.attempts() {
				if strings.Contains(x.rcpts[0], "slow") {
					slow = append(slow, x.at)
				} else {
					free++
				}
			}
		}
		if count(); free != 50 {
			t.Errorf("%d of 50 neighbours went", free)
		}
		pass(6 * time.Minute)
		if count(); len(slow) != 50 {
			t.Errorf("%d went in six minutes", len(slow))
		}
		for i := 10; i < len(slow); i++ {
			if d := slow[i].Sub(slow[i-10]); d < time.Minute {
				t.Errorf("11 messages in %v", d)
			}
		}
		h.empty()
		h.stop()
	})
}

// Mail leaves from the source that is made for it, the same on every try, and
// sources are limited and judged each on its own.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.opt.Sources = []Source{
			{Name: "a", Weight: 3}, {Name: "b"},
			{Name: "bulk", Streams: []envelope.Stream{envelope.Bulk}},
			{Name: "shop", Domains: []smtp.DomainPattern{"*.shop.test", "shop.test"}},
		}
		h.world.delay = time.Second
		h.opt.Limits = limits(t, shaping.Limit{Match: "*", Connections: 2})
		h.open()
		h.start()
		h.enqueueMany(400, "u%d@one.net")
		for i := range 10 {
			m := h.letterTo(fmt.Sprintf("bulk%d@one.net", i))
			m.Envelope.Stream = envelope.Bulk
			h.enqueue(m)
			m = h.letterTo(fmt.Sprintf("shop%d@one.net", i))
			m.Envelope.From = addr("x@mail.shop.test")
			m.Envelope.Stream = envelope.Bulk
			h.enqueue(m)
		}
		pass(10 * time.Minute)
		by := map[string]int{}
		for _, x := range h.world.attempts() {
			by[x.asked.Source]++
			to := strings.TrimRight(strings.Split(x.rcpts[0], "@")[0], "0123456789")
			if to != "u" && to != x.asked.Source {
				t.Errorf("%s went from %q", x.rcpts[0], x.asked.Source)
			}
		}
		if by["bulk"] != 10 || by["shop"] != 10 || by["a"]+by["b"] != 400 || by["a"] < 250 || by["a"] > 350 {
			t.Errorf("shares %v", by)
		}
		if h.world.most["one.net"] != 8 {
			t.Errorf("%d at once from four sources with two each", h.world.most["one.net"])
		}
		h.empty()
		h.stop()
	})
}

// The choice of a source is one for good.
func TestSourceIsStable(t *testing.T) {
	q := New(Options{Sources: []Source{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	h := newHouse(t)
	var names []string
	for range 50 {
		key, _ := h.letterTo("a@one.net").Envelope.ID.Pack()
		n := q.sourceOf(key, addr("alice@example.test"), "")
		if again := New(q.opt).sourceOf(key, addr("alice@example.test"), envelope.Person); again != n {
			t.Fatalf("%d, then %d", n, again)
		}
		names = append(names, q.sourceName(n))
	}
	slices.Sort(names)
	if names = slices.Compact(names); !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("%q", names)
	}
}
