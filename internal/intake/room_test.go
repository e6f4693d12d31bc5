package intake

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"posthouse/internal/envelope"
	"posthouse/internal/smtpd"
)

// fill lets an account hold the letter n times more, and a little.
func (h *house) fill(account string, n int64) {
	h.t.Helper()
	env := &envelope.Envelope{From: addr("bob@example.org"), Rcpts: []envelope.Rcpt{{To: addr(account)}}}
	h.must(h.take(env, letter))
	size := int64(len(h.inbox(account)[0]))
	h.must(h.directory.SetQuota(h.t.Context(), addr(account), (n+1)*size+size/2))
}

// Messages whose last dots come at once share the room that is left.
func TestQuotaOfManyAtOnce(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.fill("alice@example.test", 5)
	const many = 20
	var ready, done sync.WaitGroup
	replies := make(map[string]int)
	var mu sync.Mutex
	start := make(chan struct{})
	ready.Add(many)
	for range many {
		x, err := h.in.Begin(t.Context(), &envelope.Envelope{
			From: addr("bob@example.org"), Rcpts: []envelope.Rcpt{{To: addr("alice@example.test")}},
		})
		h.must(err)
		_, err = x.Write([]byte(letter))
		h.must(err)
		done.Go(func() {
			ready.Done()
			<-start
			_, err := x.Commit(t.Context(), true)
			mu.Lock()
			defer mu.Unlock()
			replies[fmt.Sprint(err)]++
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	if replies["<nil>"] != 5 || replies["452 4.2.2 Mailbox is full"] != many-5 {
		t.Errorf("%v", replies)
	}
	if n := len(h.inbox("alice@example.test")); n != 6 {
		t.Errorf("%d messages", n)
	}
}

// A mailbox that fills, or goes, after it was asked whether there is room takes
// nothing, and the others get the message all the same.
func TestRefusedByTheTransaction(t *testing.T) {
	alice := addr("alice@example.test")
	long := letter + strings.Repeat("x", 900) + "\r\n" // one has room, two have not
	full := func(h *house) {
		h.must(h.take(&envelope.Envelope{From: addr("x@example.org"), Rcpts: []envelope.Rcpt{{To: alice}}}, long))
	}
	gone := func(h *house) {
		a, err := h.directory.RemoveAccount(h.t.Context(), alice)
		h.must(err)
		h.must(h.mailboxes.Remove(h.t.Context(), a.ID))
	}
	for _, c := range []struct {
		name      string
		meanwhile func(*house)
		code      int
		says      string
		status    string // in a report
	}{
		{"full", full, 452, "4.2.2 ", "5.2.2"},
		{"gone", gone, 550, "5.1.1 ", "5.1.1"},
	} {
		// final has the letter end, for alice and others, and gives the first reply.
		final := func(t *testing.T, mode smtpd.Mode, code int, others ...string) (*house, *client, string) {
			h := newHouse(t, "carol@example.test", "alice@example.test")
			h.must(h.directory.SetQuota(t.Context(), alice, 1600))
			d := h.call(mode)
			d.say(250, "MAIL FROM:<bob@example.org>")
			for _, r := range append(others, "alice@example.test") {
				d.say(250, "RCPT TO:<"+r+">")
			}
			d.say(354, "DATA")
			h.meanwhile = func() { c.meanwhile(h) }
			return h, d, d.say(code, long+".")
		}
		t.Run(c.name+", alone", func(t *testing.T) {
			h, _, text := final(t, smtpd.MX, c.code)
			if !strings.HasPrefix(text, c.says) || len(h.queued()) != 0 {
				t.Errorf("%q", text)
			}
		})
		t.Run(c.name+", among others", func(t *testing.T) {
			h, _, _ := final(t, smtpd.MX, 250, "carol@example.test")
			h.fields(h.one(), 0, map[string]string{"Action": "failed", "Final-Recipient": "rfc822; alice@example.test", "Status": c.status})
			if n, story := len(h.inbox("carol@example.test")), h.story("carol@example.test"); n != 1 || story != "delivered" {
				t.Errorf("carol has %d, %q", n, story)
			}
			if got := h.story("alice@example.test"); !strings.HasSuffix(got, "bounced reported:failed") {
				t.Errorf("story %q", got)
			}
		})
		t.Run(c.name+", by LMTP", func(t *testing.T) {
			h, d, _ := final(t, smtpd.LMTP, 250, "carol@example.test")
			if text := d.want(c.code); !strings.HasPrefix(text, c.says) {
				t.Errorf("%q", text)
			}
			if n := len(h.queued()); n != 0 || len(h.inbox("carol@example.test")) != 1 {
				t.Errorf("%d reports for what the door has said", n)
			}
		})
	}
}
