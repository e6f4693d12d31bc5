package smtpd

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// got is a message that a fake house has taken in.
type got struct {
	env  envelope.Envelope
	body []byte
	id   id.ID
}

// house is a Handler with one domain, example.test, and some people in it.
type house struct {
	mu       sync.Mutex
	messages []got
	aborted  int
	rejected int      // Commits that failed
	opened   int      // Transfers
	queues   []string // started by ETRN

	failWrite bool  // every Write fails
	dataErr   error // Data fails
	block     chan struct{}
	started   chan struct{} // told when a Commit waits for block
}

func (h *house) Mail(_ context.Context, env *envelope.Envelope, size int64) error {
	if env.From.Local == "spammer" {
		return status.New(550, 7, 1, "Not you")
	}
	return nil
}

func (h *house) Rcpt(_ context.Context, _ *envelope.Envelope, r envelope.Rcpt) error {
	switch r.To.Local {
	case "alice", "bob", "postmaster", "broken", "grün":
		return nil
	case "busy":
		return errors.New("the disk is on fire")
	case "young":
		return status.New(550, 7, 17, "The mailbox has changed hands since the date given")
	}
	return status.New(550, 1, 1, "No such user here")
}

func (h *house) Data(_ context.Context, env *envelope.Envelope) (Transfer, error) {
	if h.dataErr != nil {
		return nil, h.dataErr
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened++
	return &transfer{h: h, env: env}, nil
}

func (h *house) Authenticator(netip.Addr, string) sasl.Authenticator { return people{} }

func (h *house) Identify(_ context.Context, login string) (sasl.Identity, error) {
	if login != "alice@example.test" {
		return sasl.Identity{}, status.New(501, 5, 4, "No such login")
	}
	return sasl.Identity{Account: 7, Login: login}, nil
}

func (h *house) Verify(_ context.Context, _ sasl.Identity, a smtp.Address) (Verified, error) {
	switch a.Local {
	case "alice", "grün":
		return Verified{Address: smtp.Address{Local: a.Local, Domain: "example.test"}}, nil
	case "away":
		return Verified{Address: smtp.Address{Local: "me", Domain: "remote.test"}, Elsewhere: true}, nil
	case "busy":
		return Verified{}, errors.New("the disk is on fire")
	}
	if a.Domain != "" && a.Domain != "example.test" {
		return Verified{}, nil
	}
	return Verified{}, status.New(550, 1, 1, "No such user here")
}

func (h *house) Expand(_ context.Context, _ sasl.Identity, a smtp.Address) ([]smtp.Address, error) {
	switch a.Local {
	case "staff":
		return []smtp.Address{{Local: "alice", Domain: "example.test"}, {Local: "two words", Domain: "example.test"}}, nil
	case "alle":
		return []smtp.Address{{Local: "grün", Domain: "example.test"}}, nil
	case "everybody":
		return make([]smtp.Address, maxExpansion+1), nil
	}
	return nil, status.New(550, 1, 1, "No such list here")
}

func (h *house) StartQueue(_ context.Context, domain string, below bool) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if below {
		domain = "@" + domain
	}
	h.queues = append(h.queues, domain)
	switch domain {
	case "broken.test":
		return 0, errors.New("the disk is on fire")
	case "empty.test":
		return 0, nil
	}
	return 14, nil
}

func (h *house) all() []got {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]got(nil), h.messages...)
}

type transfer struct {
	h    *house
	env  *envelope.Envelope
	body bytes.Buffer
	over bool
}

func (t *transfer) Write(p []byte) (int, error) {
	if t.over {
		panic("write after the end")
	}
	if t.h.failWrite {
		return 0, status.New(452, 3, 1, "Disk full")
	}
	return t.body.Write(p)
}

func (t *transfer) Commit(context.Context) (Outcome, error) {
	t.end()
	if t.h.block != nil {
		t.h.started <- struct{}{}
		<-t.h.block
	}
	if bytes.Contains(t.body.Bytes(), []byte("refuse me")) {
		t.h.mu.Lock()
		defer t.h.mu.Unlock()
		t.h.rejected++
		return Outcome{}, status.New(554, 7, 1, "Refused for content")
	}
	out := Outcome{ID: id.New(time.Now())}
	for _, r := range t.env.Rcpts {
		var err error
		if r.To.Local == "broken" {
			err = status.New(452, 2, 2, "Mailbox is full")
		}
		out.Rcpts = append(out.Rcpts, err)
	}
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	t.h.messages = append(t.h.messages, got{*t.env, t.body.Bytes(), out.ID})
	return out, nil
}

func (t *transfer) Abort() {
	t.end()
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	t.h.aborted++
}

func (t *transfer) end() {
	if t.over {
		panic("transfer ended twice")
	}
	t.over = true
}

// people is the Authenticator: alice with the password "posthouse".
type people struct{}

func (people) Authenticate(_ context.Context, login, password string) (sasl.Identity, error) {
	switch {
	case login == "slow@example.test":
		return sasl.Identity{}, sasl.ErrThrottled
	case login == "alice@example.test" && password == "posthouse":
		return sasl.Identity{Account: 7, Login: login}, nil
	}
	return sasl.Identity{}, sasl.ErrCredentials
}

func (people) Scram(context.Context, string, crypto.Hash) (sasl.ScramSecret, error) {
	return sasl.ScramSecret{}, sasl.ErrCredentials
}

func (people) ScramDone(context.Context, string, bool) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

func (people) External(context.Context, []string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

func (people) Bearer(context.Context, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

// aborts is how many transfers were aborted.
func (h *house) aborts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.aborted
}

// refused is how many Commits failed, begun how many transfers there were.
func (h *house) refused() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rejected
}

func (h *house) begun() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened
}

func only(t testing.TB, h *house) got {
	t.Helper()
	all := h.all()
	if len(all) != 1 {
		t.Fatalf("%d messages, want 1", len(all))
	}
	return all[0]
}
