package queue

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/status"
)

// world is a courier whose answers a test writes. A domain's site is itself,
// but all of *.shared share one.
type world struct {
	mu       sync.Mutex
	answer   func(rcpt string, n int) courier.Outcome // the n-th try for a recipient, from 1
	unknown  map[string]error                         // domains that cannot be resolved
	tries    map[string]int
	log      []try
	busy     map[string]int
	most     map[string]int
	mostAll  int
	perSite  int
	total    int
	delay    time.Duration
	gate     chan struct{}
	resolved map[string]bool
	forget   bool                            // keeps no log
	slow     func(site string) time.Duration // besides delay
}

type try struct {
	at    time.Time
	rcpts []string
	text  string
	tls   [2]bool // required, optional
	asked courier.Transfer
}

func newWorld() *world {
	return &world{tries: map[string]int{}, busy: map[string]int{}, most: map[string]int{}, perSite: 20, total: 500,
		unknown: map[string]error{}, resolved: map[string]bool{}}
}

func (w *world) Known(domain string) (*courier.Route, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &courier.Route{Site: siteOf(domain)}, w.resolved[domain]
}

func siteOf(domain string) string {
	if len(domain) > 7 && domain[len(domain)-7:] == ".shared" {
		return "shared"
	}
	return domain
}

func (w *world) Resolve(_ context.Context, domain string) (*courier.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.unknown[domain]; err != nil {
		return nil, err
	}
	w.resolved[domain] = true
	return &courier.Route{Site: siteOf(domain)}, nil
}

func (w *world) Limits() (int, int) { return w.perSite, w.total }

func (w *world) Deliver(ctx context.Context, t *courier.Transfer) []courier.Outcome {
	text, err := io.ReadAll(io.MultiReader(bytes.NewReader([]byte(t.Prepend)), io.NewSectionReader(t.Body, t.Skip, t.Size)))
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	site := t.Route.Site
	w.busy[site]++
	w.busy[""]++
	w.most[site] = max(w.most[site], w.busy[site])
	w.mostAll = max(w.mostAll, w.busy[""])
	record := try{asked: *t, at: time.Now(), text: string(text), tls: [2]bool{t.RequireTLS, t.TLSOptional}}
	outs := make([]courier.Outcome, len(t.Rcpts))
	for i, r := range t.Rcpts {
		to := r.To.String()
		record.rcpts = append(record.rcpts, to)
		w.tries[to]++
		outs[i] = sent()
		if w.answer != nil {
			outs[i] = w.answer(to, w.tries[to])
		}
	}
	if !w.forget {
		w.log = append(w.log, record)
	}
	delay, gate := w.delay, w.gate
	if w.slow != nil {
		delay += w.slow(site)
	}
	w.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			for i := range outs {
				outs[i] = reply(451, 4, 2, "cut off")
			}
		case <-w.left(t):
			for i := range outs {
				outs[i] = courier.Outcome{Code: 451, Untried: true}
			}
		}
	}
	w.mu.Lock()
	w.busy[site]--
	w.busy[""]--
	w.mu.Unlock()
	return outs
}

// left is closed when a site to which there is no connection is not to be called any
// more.
func (w *world) left(t *courier.Transfer) <-chan struct{} {
	if strings.HasPrefix(t.Route.Site, "deaf") {
		return t.Leave.Done()
	}
	return nil
}

func reply(code int, subject, detail uint16, text string) courier.Outcome {
	return courier.Outcome{Code: code, Enhanced: status.Enhanced{Class: uint16(code / 100), Subject: subject, Detail: detail}, Text: text, Remote: true, Host: "mx.remote"}
}

// always is the answer of a world that answers nothing else.
func always(o courier.Outcome) func(string, int) courier.Outcome {
	return func(string, int) courier.Outcome { return o }
}

func sent() courier.Outcome { return reply(250, 0, 0, "taken") }

func (w *world) attempts() []try {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// tried is how often a recipient was tried; all is that for everybody.
func (w *world) tried(to string) int { return w.all()[to] }

func (w *world) all() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.tries)
}

// found lets a domain be resolved from now on.
func (w *world) found(domain string) {
	w.mu.Lock()
	delete(w.unknown, domain)
	w.mu.Unlock()
}
