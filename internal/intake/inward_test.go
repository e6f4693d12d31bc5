package intake

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/queue"
)

// outside is a courier that does nothing.
type outside struct{ asked []string }

func (o *outside) Known(domain string) (*courier.Route, bool) {
	o.asked = append(o.asked, domain)
	return nil, false
}

func (o *outside) Resolve(context.Context, string) (*courier.Route, error) {
	return &courier.Route{Site: "elsewhere"}, nil
}

func (o *outside) Deliver(_ context.Context, t *courier.Transfer) []courier.Outcome {
	o.asked = append(o.asked, t.Route.Site)
	return make([]courier.Outcome, len(t.Rcpts))
}

func (o *outside) Limits() (int, int) { return 1, 1 }

// hold takes in a message that its sender holds for an hour.
func (h *house) hold(rcpts ...envelope.Rcpt) *queue.Message {
	h.t.Helper()
	env := &envelope.Envelope{
		From: addr("bob@example.org"), Rcpts: rcpts, EnvID: "e", Priority: 2,
		HoldUntil: h.clock.Now().Add(time.Hour), Origin: envelope.Origin{Door: "submission"},
	}
	x, err := h.in.Begin(h.t.Context(), env)
	h.must(err)
	_, err = x.Write([]byte(letter))
	h.must(err)
	_, err = x.Commit(h.t.Context(), true)
	h.must(err)
	list := h.queued()
	if len(list) != 1 || len(list[0].Rcpts) != len(rcpts) {
		h.t.Fatalf("%+v", list)
	}
	return list[0]
}

// release hands it to the courier, as the queue does.
func (h *house) release(w *Inward, m *queue.Message) []courier.Outcome {
	h.t.Helper()
	body, err := h.bodies.Open(m.Body)
	h.must(err)
	defer body.Close()
	return h.releaseBody(w, m, body)
}

func (h *house) releaseBody(w *Inward, m *queue.Message, body io.ReaderAt) []courier.Outcome {
	h.t.Helper()
	route, ok := w.Known("example.test")
	if !ok {
		h.t.Fatal("our own domain is not known")
	}
	t := &courier.Transfer{
		ID: m.Envelope.ID, Route: route, From: m.Envelope.From, Body: body, Skip: m.Skip, Size: m.Size,
		EnvID: m.Envelope.EnvID, Priority: m.Envelope.Priority, PriorityBy: m.Envelope.PriorityBy,
		Prepend: m.Rcpts[0].Prepend, Solicit: m.Envelope.Solicit,
	}
	for _, r := range m.Rcpts {
		t.Rcpts = append(t.Rcpts, r.Rcpt)
	}
	return w.Deliver(h.t.Context(), t)
}

// What its sender holds is in no mailbox before its time, and then wherever its
// recipients are on that day.
func TestHeldForPeopleHere(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test", "full@example.test")
	h.alias("team@example.test", "alice@example.test", "dave@elsewhere.net")
	m := h.hold(
		envelope.Rcpt{To: addr("carol@example.test"), Notify: "SUCCESS"}, envelope.Rcpt{To: addr("team@example.test")},
		envelope.Rcpt{To: addr("full@example.test")}, envelope.Rcpt{To: addr("gone@example.test")},
	)
	if len(h.inbox("carol@example.test")) != 0 || h.story("carol@example.test") != "queued" {
		t.Errorf("before its time: %s", h.story("carol@example.test"))
	}
	h.must(h.directory.SetQuota(t.Context(), addr("full@example.test"), 10))
	out := new(outside)
	w := NewInward(out)
	w.SetIntake(h.in)
	outs := h.release(w, m)
	for i, want := range []int{250, 250, 552, 550} {
		if outs[i].Code != want {
			t.Errorf("recipient %d: %d %s", i, outs[i].Code, outs[i].Text)
		}
	}
	if !outs[0].DSN || !outs[0].DeliverBy || len(out.asked) != 0 {
		t.Errorf("%+v, outside was asked for %q", outs[0], out.asked)
	}
	for _, who := range []string{"carol@example.test", "alice@example.test"} {
		box := h.inbox(who)
		if len(box) != 1 || !strings.HasPrefix(string(box[0]), "Return-Path: <bob@example.org>\r\nReceived: by mx.house.test") || strings.Count(string(box[0]), "Received:") != 2 {
			t.Errorf("%s has %q", who, box)
		}
	}
	// The rest: dave's through the alias, and the report for carol's.
	var kinds []string
	for _, q := range h.queued() {
		switch {
		case q.Envelope.ID == m.Envelope.ID:
			t.Error("two messages of one ID")
		case q.Envelope.From.IsZero():
			d := h.parse(h.text(q))
			h.fields(d, 0, map[string]string{"Action": "delivered", "Final-Recipient": "rfc822; carol@example.test"})
			kinds = append(kinds, "report "+d.message.Get("Original-Envelope-Id"))
		default:
			kinds = append(kinds, q.Rcpts[0].To.String())
		}
		if q.Envelope.Priority != 2 {
			t.Errorf("priority %d", q.Envelope.Priority)
		}
	}
	if len(kinds) != 2 {
		t.Errorf("%v", kinds)
	}
}

// Everybody else is the courier's.
func TestInwardPassesOthersOn(t *testing.T) {
	h := newHouse(t)
	out := new(outside)
	w := NewInward(out)
	w.SetIntake(h.in)
	if _, ok := w.Known("elsewhere.net"); ok {
		t.Error("known")
	}
	route, err := w.Resolve(t.Context(), "elsewhere.net")
	h.must(err)
	w.Deliver(t.Context(), &courier.Transfer{Route: route})
	if strings.Join(out.asked, " ") != "elsewhere.net elsewhere" {
		t.Errorf("asked for %q", out.asked)
	}
	h.in.opt.IsHere = func(a netip.Addr) bool { return a.IsLoopback() }
	for _, domain := range []string{"", "example.test", "mx.house.test", "[127.0.0.1]", "[ipv6:::1]"} {
		if r, err := w.Resolve(t.Context(), domain); err != nil || r.Site != inwardSite {
			t.Errorf("%q: %+v, %v", domain, r, err)
		}
	}
}

// rotten is a body that has found that it is damaged.
type rotten struct{ io.ReaderAt }

func (rotten) Check() error { return blob.ErrCorrupt }

// What was damaged while it was held is in no mailbox, and is tried again.
func TestHeldAndDamaged(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	w := NewInward(new(outside))
	w.SetIntake(h.in)
	m := h.hold(envelope.Rcpt{To: addr("alice@example.test")})
	body, err := h.bodies.Open(m.Body)
	h.must(err)
	defer body.Close()
	if o := h.releaseBody(w, m, rotten{body})[0]; o.Code != 451 || o.Sent() {
		t.Errorf("%+v", o)
	}
	if got := h.inbox("alice@example.test"); len(got) > 0 {
		t.Errorf("delivered: %q", got)
	}
	if o := h.release(w, m)[0]; !o.Sent() || len(h.inbox("alice@example.test")) != 1 {
		t.Errorf("%+v", o)
	}
}
