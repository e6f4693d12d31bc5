package queue

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/journal"
	"posthouse/internal/rowcodec"
	"posthouse/internal/suppress"
)

// meant is an outcome with the verdict of a class.
func meant(o courier.Outcome, c classify.Class) courier.Outcome {
	o.Verdict = c.Verdict(o.Code)
	o.Rule = "a-rule"
	return o
}

// eventsOf are the events of one kind.
func (h *house) eventsOf(kind journal.Kind) []journal.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []journal.Event
	for _, e := range h.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// What the remote meant decides, not the first digit of its code; the journal
// and operators are told.
func TestVerdictDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, n int) courier.Outcome {
			switch {
			case strings.HasPrefix(to, "grey") && n == 1: // 550, but come again
				return meant(reply(550, 7, 1, "greylisted"), classify.Greylisted)
			case strings.HasPrefix(to, "slow") && n == 1:
				o := meant(reply(421, 7, 28, "slow down"), classify.RateLimited)
				o.Pause = 3 * time.Hour
				return o
			}
			return sent()
		}
		h.start()
		h.enqueue(h.letterTo("grey@one.net", "slow@two.net"))
		synctest.Wait()
		e := h.list(Selector{Domain: "one.net"})[0]
		if e.Class != classify.Greylisted || e.Scope != classify.Policy || e.Action != classify.Retry || e.Rule != "a-rule" || e.Hint == "" {
			t.Errorf("entry %+v", e)
		}
		shown, err := h.q.Show(context.Background(), e.ID)
		if err != nil || len(shown.History) != 1 || shown.History[0].Class != classify.Greylisted {
			t.Errorf("history %+v, %v", shown.History, err)
		}
		if d := time.Until(h.list(Selector{Domain: "two.net"})[0].Next); d < 3*time.Hour {
			t.Errorf("a site that wants a pause of three hours is tried after %v", d)
		}
		for _, ev := range h.eventsOf(journal.Attempted) {
			want := map[string]string{"class": "greylisted", "scope": "policy", "action": "retry", "rule": "a-rule"}
			if ev.To == "slow@two.net" {
				want = map[string]string{"class": "rate-limited", "scope": "source-address", "action": "stop-site", "pause": "3h0m0s"}
			}
			for k, v := range want {
				if ev.Detail[k] != v {
					t.Errorf("%s: %s=%q, want %q", ev.To, k, ev.Detail[k], v)
				}
			}
		}
		pass(5 * time.Hour)
		h.empty()
		h.stop()
	})
}

// An address of which a server says for good that it is not there is returned
// and remembered; a letter to it is tried all the same.
func TestSuppression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(to string, _ int) courier.Outcome {
			if strings.HasPrefix(to, "gone") {
				return meant(reply(550, 1, 1, "no such user"), classify.BadMailbox)
			}
			return meant(reply(550, 7, 1, "not from you"), classify.PolicyRefused)
		}
		h.start()
		m := h.letterTo("gone@one.net", "strict@one.net")
		h.enqueue(m)
		synctest.Wait()
		e, err := suppress.Get(context.Background(), h.db, addr("Gone@ONE.net"))
		if err != nil || e.Class != classify.BadMailbox || e.Code != 550 || e.Text != "no such user" || e.Message != m.Envelope.ID {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := suppress.Get(context.Background(), h.db, addr("strict@one.net")); !errors.Is(err, suppress.ErrNotFound) {
			t.Errorf("a refusal that is not about the address put it on the list: %v", err)
		}
		if got := h.kinds("gone@one.net"); !slices.Equal(got, []journal.Kind{journal.Bounced, journal.Suppressed, journal.Reported}) {
			t.Errorf("events %v", got)
		}
		h.enqueue(h.letterTo("gone@one.net"))
		synctest.Wait()
		if n := h.world.tried("gone@one.net"); n != 2 {
			t.Errorf("a letter to a suppressed address was tried %d times", n-1)
		}
		h.stop()
	})
}

// When nobody knows whether a try succeeded, the journal says so, then and when
// another does, a restart in between or not.
func TestPossiblyTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(_ string, n int) courier.Outcome {
			if n > 1 {
				return sent()
			}
			o := meant(reply(451, 4, 2, "Connection lost after the message was sent"), classify.NetworkFailure)
			o.Remote, o.Uncertain = false, true
			return o
		}
		h.start()
		h.enqueue(h.letterTo("a@one.net"))
		synctest.Wait()
		h.restart()
		pass(time.Hour)
		if ev := h.eventsOf(journal.Attempted); len(ev) != 1 || ev[0].Detail["uncertain"] == "" {
			t.Errorf("tries %+v", ev)
		}
		if ev := h.eventsOf(journal.Relayed); len(ev) != 1 || ev[0].Detail["repeated"] != "possibly delivered before" {
			t.Errorf("success %+v", ev)
		}
		h.empty()
		h.stop()
	})
}

// A row from before there were verdicts, and one from after something that is
// not known here yet, can be read.
func TestRowsOfOtherVersions(t *testing.T) {
	r := &row{rcpt: Rcpt{Rcpt: envelope.Rcpt{To: addr("a@b.c")}}, state: Waiting, uncertain: 2}
	o := meant(reply(452, 2, 2, "full"), classify.MailboxFull)
	r.tried(time.Unix(1, 0), &o)
	now := r.encode()
	old := now[:bytes.LastIndexByte(now, fieldVerdicts)]
	for bytes.Count(old, []byte("mailbox-full")) > 0 { // the byte may be in a text
		old = old[:bytes.LastIndexByte(old, fieldVerdicts)]
	}
	got, err := decodeRow(old, false)
	if err != nil || got.last.Text != "full" || got.last.Class != "" || len(got.history) != 1 || got.uncertain != 0 {
		t.Errorf("old: %+v, %v", got, err)
	}
	got, err = decodeRow(appendField(now, '?', []byte("from later")), false)
	if err != nil || got.last.Class != classify.MailboxFull || got.history[0].Class != classify.MailboxFull || got.uncertain != 2 {
		t.Errorf("new: %+v, %v", got, err)
	}
}

// A message row from before there were priorities can be read.
func TestMessageRowsOfOtherVersions(t *testing.T) {
	h := newHouse(t)
	m := h.letterTo("a@b.c")
	m.Envelope.Priority, m.Envelope.Stream = 3, envelope.Bulk
	head := h.q.headOf(m)
	now, err := encodeMessage(&head, m)
	if err != nil {
		t.Fatal(err)
	}
	got, text, err := decodeHead(now)
	if err != nil || got.priority != 3 || got.stream != envelope.Bulk || got.from != head.from {
		t.Errorf("%+v, %v", got, err)
	}
	first := append([]byte{1}, head.body.Append(nil)...)
	first = rowcodec.AppendTime(rowcodec.AppendTime(rowcodec.AppendVarint(first, head.size), head.created), head.expires)
	first = append(rowcodec.AppendString(rowcodec.AppendString(first, head.from.Local), head.from.Domain), text...)
	old, err := decodeMessage(first)
	if err != nil || old.Envelope.ID != m.Envelope.ID || old.Size != m.Size {
		t.Errorf("old: %+v, %v", old, err)
	}
	if got, _, err := decodeHead(first); err != nil || got.stream != envelope.Person || got.priority != 0 || !got.expires.Equal(head.expires) {
		t.Errorf("old head: %+v, %v", got, err)
	}
}
