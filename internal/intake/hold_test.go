package intake

import (
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/status"
)

// wish is an envelope of an account that wants its message held for an hour.
func (h *house) wish(a id.Account) *envelope.Envelope {
	return &envelope.Envelope{
		From: addr("alice@example.test"), Rcpts: []envelope.Rcpt{{To: addr("bob@elsewhere.net")}},
		HoldUntil: h.clock.Now().Add(time.Hour), Origin: envelope.Origin{Door: "submission", Account: a},
	}
}

func (h *house) take(env *envelope.Envelope, text string) error {
	x, err := h.in.Begin(h.t.Context(), env)
	h.must(err)
	_, err = x.Write([]byte(text))
	h.must(err)
	_, err = x.Commit(h.t.Context(), true)
	return err
}

// An account may have so much held and no more, whether it says the size at MAIL
// or not (RFC 4865 section 6).
func TestHoldQuota(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	alice, err := h.directory.Account(t.Context(), addr("alice@example.test"))
	h.must(err)
	text := "From: <alice@example.test>\r\n\r\n" + strings.Repeat("x", 2000) + "\r\n"
	h.in.SetBounds(Bounds{HoldQuota: HoldQuota{Messages: 3, Octets: 5000}})
	mail := func(size int64, want string) {
		t.Helper()
		env := h.wish(alice.ID)
		env.Size = size
		got := "taken"
		if err := h.in.Mail(t.Context(), env); err != nil {
			s := status.Of(err)
			got = s.Enhanced.String() + " " + s.Text
			if s.Code != 552 {
				t.Errorf("%d %s", s.Code, got)
			}
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%d octets: %q, want %q", size, got, want)
		}
	}
	mail(5000, "taken")
	mail(5001, "5.7.16 Messages of more than 5000 octets")
	h.must(h.take(h.wish(alice.ID), text))
	mail(4000, "5.7.16 Your held messages")
	mail(0, "taken")
	if err := h.take(h.wish(alice.ID), text+text); status.Of(err).Enhanced.String() != "5.7.16" {
		t.Errorf("larger than the room that is left: %v", err)
	}
	for range 2 {
		h.must(h.take(h.wish(alice.ID), "From: <alice@example.test>\r\n\r\nshort\r\n"))
	}
	mail(0, "5.7.16 3 of your messages")
	now := h.wish(alice.ID)
	now.HoldUntil = time.Time{}
	h.must(h.in.Mail(t.Context(), now))
	h.must(h.take(now, text+text+text))
	h.clock.Advance(time.Hour)
	mail(5000, "taken")
}

// Messages that come at the same time share what is left.
func TestHoldQuotaOfManyAtOnce(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	alice, err := h.directory.Account(t.Context(), addr("alice@example.test"))
	h.must(err)
	h.in.SetBounds(Bounds{HoldQuota: HoldQuota{Messages: 5}})
	var work sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 20 {
		work.Go(func() {
			if err := h.take(h.wish(alice.ID), "From: <alice@example.test>\r\n\r\n"); err != nil {
				mu.Lock()
				defer mu.Unlock()
				refused++
			}
		})
	}
	work.Wait()
	if taken := len(h.queued()); taken != 5 || refused != 15 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	if len(h.in.holding.by) != 0 {
		t.Errorf("left over: %v", h.in.holding.by)
	}
}
