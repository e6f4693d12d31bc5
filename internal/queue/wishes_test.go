package queue

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/report"
	"posthouse/internal/status"
)

// FUTURERELEASE: a message waits for its time, also over a restart, and all that
// counts begins then.
func TestHeldByItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(451, 7, 1, "not yet"))
		h.start()
		began := time.Now()
		m := h.letterTo("a@one.net")
		m.Envelope.HoldUntil = began.Add(24 * time.Hour)
		h.enqueue(m)
		synctest.Wait()
		list := h.list(Selector{})
		if len(list) != 1 || list[0].State != Waiting || !list[0].Next.Equal(m.Envelope.HoldUntil) || !strings.Contains(list[0].Last, "Held by its sender") ||
			!list[0].Created.Equal(began) || !list[0].Expires.Equal(began.Add(6*24*time.Hour)) {
			t.Errorf("%+v", list)
		}
		do(t, 0, h.q.Retry, Selector{})
		time.Sleep(12 * time.Hour)
		h.restart()
		do(t, 0, h.q.Retry, Selector{})
		if _, err := h.q.Hold(t.Context(), Selector{}); err != nil {
			t.Fatal(err)
		}
		h.restart()
		do(t, 1, h.q.Release, Selector{})
		pass(12*time.Hour - time.Second)
		if n := h.world.tried("a@one.net"); n != 0 || len(h.told()) != 0 {
			t.Errorf("%d tries and %d reports before the release", n, len(h.told()))
		}
		pass(2 * time.Second)
		if n := h.world.tried("a@one.net"); n != 1 {
			t.Errorf("%d tries at the release", n)
		}
		pass(7 * 24 * time.Hour)
		notice, final := h.told()[0], h.told()[1]
		if after := notice.Date.Sub(m.Envelope.HoldUntil); after < 4*time.Hour || after > 4*time.Hour+6*time.Minute {
			t.Errorf("notice %v after the release", after)
		}
		if after := final.Date.Sub(m.Envelope.HoldUntil); after < 5*24*time.Hour || after > 5*24*time.Hour+6*time.Minute {
			t.Errorf("returned %v after the release", after)
		}
		h.empty()
		h.stop()
	})
}

// An index that is made again holds everything; what its sender holds is not let
// out by an operator's release.
func TestRefiledWhileHeldByItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		m := h.letterTo("a@one.net")
		m.Envelope.HoldUntil = time.Now().Add(time.Hour)
		if err := h.q.Refile(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		h.start()
		do(t, 1, h.q.Release, Selector{})
		pass(59 * time.Minute)
		if h.world.tried("a@one.net") != 0 {
			t.Error("tried before its time")
		}
		pass(2 * time.Minute)
		if h.world.tried("a@one.net") != 1 {
			t.Error("not tried at its time")
		}
		h.empty()
		h.stop()
	})
}

// DELIVERBY with R: returned at the deadline, to the minute.
func TestReturnedAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			if to == "b@one.net" && n == 2 {
				return sent()
			}
			return reply(451, 7, 1, "greylisted")
		}
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		began := time.Now()
		m := h.letterTo("a@one.net", "b@one.net", "c@flaky.net")
		m.Envelope.DeliverBy, m.Envelope.ByMode = began.Add(17*time.Minute), envelope.ByReturn
		h.enqueue(m)
		pass(17*time.Minute - time.Second)
		if len(h.told()) != 0 {
			t.Errorf("told before the deadline: %+v", h.told()[0].Rcpts)
		}
		pass(time.Minute)
		got := map[string]string{}
		for _, d := range h.told() {
			for _, r := range d.Rcpts {
				got[r.To.String()] = r.Status.String()
				if r.Action != report.Failed {
					t.Errorf("%+v", r)
				}
			}
		}
		if len(got) != 2 || got["a@one.net"] != "5.4.7" || got["c@flaky.net"] != "5.4.7" {
			t.Errorf("%v", got)
		}
		if !strings.Contains(h.written()[0], "Deliver-By-Date: ") || !strings.Contains(h.written()[0], "The time in which it had to be delivered is over") {
			t.Errorf("report:\n%s", h.written()[0])
		}
		if asked := h.world.attempts()[0].asked; !asked.DeliverBy.Equal(m.Envelope.DeliverBy) || asked.ByMode != envelope.ByReturn {
			t.Errorf("%+v", asked)
		}
		h.empty()
		h.stop()
	})
}

// DELIVERBY with N: the sender is told at the deadline, once, and it goes on.
func TestToldAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(451, 7, 1, "greylisted"))
		h.world.unknown["flaky.net"] = status.New(451, 4, 3, "no answer")
		h.start()
		began := time.Now()
		m := h.letterTo("a@one.net", "c@flaky.net", "quiet@one.net")
		m.Rcpts[2].Notify = "FAILURE"
		m.Envelope.DeliverBy, m.Envelope.ByMode = began.Add(6*time.Hour), envelope.ByNotify
		h.enqueue(m)
		time.Sleep(6*time.Hour - time.Second)
		h.stop()
		if len(h.told()) != 0 {
			t.Error("told before the deadline")
		}
		h.open() // the deadline is in the store
		h.start()
		pass(30 * time.Second)
		if len(h.told()) != 2 {
			t.Fatalf("%d reports at the deadline", len(h.told()))
		}
		pass(2 * 24 * time.Hour)
		if len(h.told()) != 2 {
			t.Errorf("%d reports", len(h.told()))
		}
		for _, d := range h.told() {
			if r := d.Rcpts[0]; r.Action != report.Delayed || !r.RetryUntil.Equal(began.Add(5*24*time.Hour)) || len(d.Rcpts) != 1 ||
				r.Status.String() != "4.4.7" { // RFC 2852 section 4.1.3
				t.Errorf("%+v", d.Rcpts)
			}
		}
		if kinds := h.kinds("a@one.net"); !slices.Contains(kinds, journal.Reported) || !slices.Contains(kinds, journal.Delayed) {
			t.Errorf("%v", kinds)
		}
		if len(h.list(Selector{})) != 3 {
			t.Error("it does not go on")
		}
		h.stop()
	})
}

// knowing is an outcome of a server with extensions.
func knowing(dsn, by bool) courier.Outcome {
	o := sent()
	o.DSN, o.DeliverBy = dsn, by
	return o
}

func TestRelayedReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, _ int) courier.Outcome {
			return knowing(strings.Contains(to, "dsn"), strings.Contains(to, "by"))
		}
		h.start()
		plain := h.letterTo("a@old.net", "b@dsn.net", "c@old.net", "d@old.net", "e@old.net")
		plain.Rcpts[0].Notify, plain.Rcpts[0].ORcpt = "SUCCESS,FAILURE", "rfc822;aa@old.net"
		plain.Rcpts[1].Notify, plain.Rcpts[2].Notify, plain.Rcpts[3].Notify = "SUCCESS", "NEVER", "FAILURE,DELAY"
		h.enqueue(plain)
		synctest.Wait()
		if len(h.told()) != 1 || len(h.told()[0].Rcpts) != 1 {
			t.Fatalf("%d reports", len(h.told()))
		}
		if r := h.told()[0].Rcpts[0]; r.Action != report.Relayed || r.To.String() != "a@old.net" || r.Status.Class != 2 {
			t.Errorf("%+v", r)
		}
		for _, want := range []string{"Action: relayed", "Original-Recipient: rfc822; aa@old.net", "Remote-MTA: dns; mx.remote", "Status: 2.0.0"} {
			if !strings.Contains(h.written()[0], want) {
				t.Errorf("no %q in\n%s", want, h.written()[0])
			}
		}
		if got := h.kinds("a@old.net"); !slices.Equal(got, []journal.Kind{journal.Relayed, journal.Reported}) {
			t.Errorf("events %v", got)
		}
		// Deadlines (RFC 2852): N and a server that does not know them; T always.
		notify := h.letterTo("n@old.net", "n@by.net", "never@old.net", "failure@dsn.net")
		notify.Rcpts[2].Notify, notify.Rcpts[3].Notify = "NEVER", "FAILURE"
		notify.Envelope.DeliverBy, notify.Envelope.ByMode = time.Now().Add(time.Hour), envelope.ByNotify
		h.enqueue(notify)
		trace := h.letterTo("t@by.net")
		trace.Envelope.DeliverBy, trace.Envelope.ByMode, trace.Envelope.ByTrace = time.Now().Add(time.Hour), envelope.ByReturn, true
		h.enqueue(trace)
		late := h.letterTo("late@old.net") // there is nothing to keep any more
		late.Envelope.DeliverBy, late.Envelope.ByMode = time.Now().Add(-time.Second), envelope.ByNotify
		h.enqueue(late)
		synctest.Wait()
		var to []string
		for _, d := range h.told()[1:] {
			for _, r := range d.Rcpts {
				to = append(to, r.To.String())
			}
		}
		slices.Sort(to)
		if !slices.Equal(to, []string{"failure@dsn.net", "n@old.net", "t@by.net"}) {
			t.Errorf("told of %v", to)
		}
		h.empty()
		h.stop()
	})
}

// What was sent is not sent again because it cannot be told of.
func TestRelayedReportThatCannotBeFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.refuse = errors.New("no")
		h.start()
		m := h.letterTo("a@old.net")
		m.Rcpts[0].Notify = "SUCCESS"
		h.enqueue(m)
		pass(time.Hour)
		if h.world.tried("a@old.net") != 1 {
			t.Errorf("sent %d times", h.world.tried("a@old.net"))
		}
		if got := h.kinds("a@old.net"); !slices.Equal(got, []journal.Kind{journal.Relayed}) {
			t.Errorf("events %v", got)
		}
		h.empty()
		h.stop()
	})
}

// Failures that nobody can be told of end with the postmaster, if the mail is of
// this house.
func TestDoubleBounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(550, 1, 1, "no such user"))
		h.start()
		for to, origin := range map[string]envelope.Origin{
			"report@one.net":  {Door: "internal"},
			"mdn@one.net":     {Door: "submission", Account: 7},
			"foreign@one.net": {Door: "smtp"},
			"last@one.net":    {Door: "internal"},
		} {
			m := h.letterTo(to)
			m.Envelope.From.Local, m.Envelope.From.Domain = "", ""
			m.Envelope.Origin = origin
			if strings.HasPrefix(to, "last") {
				m.Rcpts[0].Notify = envelope.NotifyNever
			}
			h.enqueue(m)
		}
		synctest.Wait()
		var about []string
		for _, d := range h.told() {
			if d.To != report.Postmaster {
				t.Errorf("told to %v", d.To)
			}
			about = append(about, d.Rcpts[0].To.Local)
		}
		slices.Sort(about)
		if !slices.Equal(about, []string{"mdn", "report"}) {
			t.Errorf("the postmaster hears of %v", about)
		}
		h.empty()
		h.stop()
	})
}

// All that a message and its recipients came with is there after a restart.
func TestWishesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(_ string, n int) courier.Outcome {
			if n == 1 {
				return reply(451, 7, 1, "not yet")
			}
			return knowing(true, true)
		}
		h.start()
		m := h.letterTo("a@one.net")
		e := m.Envelope
		e.Ret, e.EnvID, e.Priority, e.RequireTLS, e.Body = "FULL", "x y", -4, true, envelope.BodyBinary
		e.DeliverBy, e.ByMode, e.ByTrace = time.Now().Add(time.Hour).UTC(), envelope.ByNotify, true
		e.PriorityBy, e.Solicit = envelope.PriorityParameter, "net.example:ADV"
		m.Rcpts[0].Notify, m.Rcpts[0].ORcpt = "DELAY", "utf-8;ü@one.net"
		m.Rcpts[0].RRVS, m.Rcpts[0].RRVSContinue = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), true
		h.enqueue(m)
		synctest.Wait()
		h.restart()
		pass(10 * time.Minute)
		if n := len(h.world.attempts()); n != 2 {
			t.Fatalf("%d attempts", n)
		}
		for i, a := range h.world.attempts() {
			x := a.asked
			if x.Ret != "FULL" || x.EnvID != "x y" || x.Priority != -4 || x.PriorityBy != e.PriorityBy || x.Solicit != e.Solicit || !x.RequireTLS || !x.Binary || x.ID != e.ID ||
				!x.DeliverBy.Equal(e.DeliverBy) || x.ByMode != envelope.ByNotify || !x.ByTrace || x.Rcpts[0] != m.Rcpts[0].Rcpt {
				t.Errorf("attempt %d: %+v", i, x)
			}
		}
		h.empty()
		h.stop()
	})
}

// Rows of older forms are read.
func TestOlderMessageRows(t *testing.T) {
	h := newHouse(t)
	m := h.letterTo("a@one.net")
	hd := h.q.headOf(m)
	now, err := encodeMessage(&hd, m)
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := decodeHead(now)
	if err != nil {
		t.Fatal(err)
	}
	const holder, times, band = 1, 1, 2 // bytes of the holder, the notice, and of stream and priority
	fixed := now[:len(now)-len(text)]
	for version, cut := range map[byte]int{1: holder + times + band, 2: holder + times, 3: holder} {
		old := slices.Concat(fixed[:len(fixed)-cut], text)
		old[0] = version
		got, rest, err := decodeHead(old)
		if err != nil || string(rest) != string(text) || got.from != hd.from || !got.expires.Equal(hd.expires) || !got.notice.IsZero() {
			t.Errorf("form %d: %+v, %v", version, got, err)
		}
	}
}

// What an account has held counts until its time, also over a restart, or until
// it is dropped; what was released does not count again when it is tried again.
func TestHeldFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = always(reply(451, 7, 1, "not yet"))
		h.start()
		const who = 7
		held := func(account id.Account, until time.Duration, to ...string) *Message {
			m := h.letterTo(to...)
			m.Envelope.Origin.Account, m.Envelope.HoldUntil = account, time.Now().Add(until)
			h.enqueue(m)
			return m
		}
		want := func(when string, messages int) {
			t.Helper()
			synctest.Wait()
			if got := h.q.HeldFor(who); got.Messages != messages || got.Octets != int64(messages*(len(letter)-20)) {
				t.Errorf("%s: %+v, want %d messages", when, got, messages)
			}
		}
		held(who, time.Hour, "a@one.net", "b@two.net")
		dropped := held(who, 2*time.Hour, "c@one.net")
		held(who, 3*time.Hour, "d@one.net")
		held(who+1, 3*time.Hour, "e@one.net")
		m := h.letterTo("f@one.net")
		m.Envelope.Origin.Account = who
		h.enqueue(m)
		want("at first", 3)
		h.restart()
		want("after a restart", 3)
		do(t, 1, h.q.Drop, Selector{ID: string(dropped.Envelope.ID)})
		want("one is dropped", 2)
		time.Sleep(time.Hour + time.Second)
		want("one is released", 1)
		h.restart()
		want("one is released and waits for another try, after a restart", 1)
		time.Sleep(2 * time.Hour)
		want("at last", 0)
		h.stop()
	})
}
