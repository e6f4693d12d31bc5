package queue

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
)

// A letter passes the bulk that waits for the same slow site, and a stream of
// letters does not stop the bulk.
func TestPeopleBeforeBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.perSite, h.world.delay = 1, time.Second
		h.open()
		h.start()
		for i := range 300 {
			m := h.letterTo(fmt.Sprintf("bulk%d@one.net", i))
			m.Envelope.Stream = envelope.Bulk
			h.enqueue(m)
		}
		time.Sleep(10 * time.Second)
		h.enqueue(h.letterTo("person@one.net"))
		urgent := h.letterTo("urgent@one.net")
		urgent.Envelope.Priority = 6
		h.enqueue(urgent)
		pass(4 * time.Second)
		if h.world.tried("person@one.net") != 1 || h.world.tried("urgent@one.net") != 1 {
			t.Errorf("letters wait behind bulk: %v", h.world.all())
		}
		bulk := func() (n int) {
			for to := range h.world.all() {
				if strings.HasPrefix(to, "bulk") {
					n++
				}
			}
			return n
		}
		before := bulk()
		h.enqueueMany(300, "person%d@one.net")
		pass(100 * time.Second)
		if n := bulk() - before; n < 20 || n > 45 { // a third of the turns
			t.Errorf("bulk got %d of 100 turns beside people's mail", n)
		}
		pass(time.Hour)
		h.empty()
		h.stop()
	})
}

// A hundred thousand messages for one slow site delay no other's mail, nor do
// slow sites that could fill all lanes, once they are known.
func TestSlowSitesDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.total = 60
		h.world.forget = true
		h.world.slow = func(site string) time.Duration {
			if strings.HasPrefix(site, "slow") {
				return 10 * time.Minute
			}
			return 0
		}
		h.open()
		h.start()
		h.enqueueMany(crowd, "u%d@slow.net")
		prompt := func(what string) {
			for i := range 20 {
				to := fmt.Sprintf("a@fast%d-%s.net", i, what)
				h.enqueue(h.letterTo(to))
				synctest.Wait()
				if h.world.tried(to) != 1 {
					t.Errorf("%s: mail for site %d waits", what, i)
				}
				time.Sleep(time.Minute)
			}
		}
		prompt("one")
		for i := range 40 {
			for n := range 100 {
				h.enqueue(h.letterTo(fmt.Sprintf("u%d@slow%d.net", n, i)))
			}
		}
		time.Sleep(10 * time.Minute) // now they are known to be slow
		prompt("many")
		h.stop()
	})
}

// Those that find no lane get one later, whatever became of the others that
// waited with them.
func TestNobodyIsForgottenInTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.perSite, h.world.total = 1, 10
		h.world.answer = func(to string, _ int) courier.Outcome {
			if strings.HasPrefix(to, "first@dead") {
				return unreached()
			}
			return sent()
		}
		h.world.slow = func(site string) time.Duration {
			if strings.HasPrefix(site, "good") {
				return 10 * time.Minute
			}
			return 0
		}
		h.open()
		h.start()
		for i := range 12 {
			h.enqueue(h.letterTo(fmt.Sprintf("first@dead%d.net", i)))
			synctest.Wait()
			h.enqueue(h.letterTo(fmt.Sprintf("second@dead%d.net", i)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Second)
		for i := range 9 { // all lanes but the last, which is not for the likes of them
			h.enqueue(h.letterTo(fmt.Sprintf("u@good%d.net", i)))
		}
		time.Sleep(time.Minute)
		for i := range 11 {
			if err := h.q.Suspend(t.Context(), Suspension{Site: fmt.Sprintf("dead%d.net", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if h.world.tried("second@dead11.net") != 0 {
			t.Fatal("there was a lane")
		}
		pass(10 * time.Minute)
		if h.world.tried("second@dead11.net") != 1 {
			t.Error("forgotten")
		}
		h.stop()
	})
}
