package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// memory is a store for tests in virtual time.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
	fail error // of Update
}

func newMemory() *memory { return &memory{rows: map[string][]byte{}} }

func (m *memory) setFail(err error) {
	m.mu.Lock()
	m.fail = err
	m.mu.Unlock()
}

// View shows the rows as they are when they are read: no snapshot, but it may
// hold another View.
func (m *memory) View(_ context.Context, fn func(kv.Reader) error) error {
	return fn(&memoryTx{m: m})
}

func (m *memory) Update(_ context.Context, parts kv.Partitions, fn func(kv.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	var tx *memoryTx
	for range 2 { // fn may run again
		tx = &memoryTx{m: m, changed: map[string][]byte{}, parts: parts}
		if err := fn(tx); err != nil {
			return err
		}
	}
	for k, v := range tx.changed {
		if v == nil {
			delete(m.rows, k)
		} else {
			m.rows[k] = v
		}
	}
	return nil
}

func (m *memory) Sync(context.Context) error { return nil }
func (m *memory) Watch(kv.Partition) (<-chan struct{}, func()) {
	return make(chan struct{}), func() {}
}
func (m *memory) Close() error { return nil }

type memoryTx struct {
	m       *memory
	changed map[string][]byte // nil values are deleted; nil: a View
	parts   kv.Partitions
}

// locked holds the store for a View; an Update holds it already.
func (t *memoryTx) locked(fn func()) {
	if t.changed == nil {
		t.m.mu.Lock()
		defer t.m.mu.Unlock()
	}
	fn()
}

func (t *memoryTx) Get(key []byte) ([]byte, error) {
	v, ok := t.changed[string(key)]
	if !ok {
		t.locked(func() { v = t.m.rows[string(key)] })
	}
	if v == nil {
		return nil, kv.ErrNotFound
	}
	return v, nil
}

func (t *memoryTx) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	found := map[string][]byte{}
	t.locked(func() {
		for _, rows := range []map[string][]byte{t.m.rows, t.changed} {
			for k, v := range rows {
				if k >= string(from) && k < string(to) {
					found[k] = v
				}
			}
		}
	})
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if v := found[k]; v != nil && !fn([]byte(k), v) {
			return nil
		}
	}
	return nil
}

func (t *memoryTx) ScanBack([]byte, []byte, func(k, v []byte) bool) error {
	return errors.ErrUnsupported
}

func (t *memoryTx) mine(key []byte) error {
	for _, p := range t.parts {
		if bytes.HasPrefix(key, []byte(p)) {
			return nil
		}
	}
	return fmt.Errorf("write outside the partitions: %q", key)
}

func (t *memoryTx) Set(key, value []byte) error {
	t.changed[string(key)] = append([]byte{}, value...)
	return t.mine(key)
}

func (t *memoryTx) Delete(key []byte) error {
	t.changed[string(key)] = nil
	return t.mine(key)
}
func (t *memoryTx) DeleteRange([]byte, []byte) error { return errors.ErrUnsupported }

// bodies is a body store in memory.
type bodies struct {
	mu       sync.Mutex
	by       map[blob.Ref][]byte
	released int
}

func (b *bodies) add(text string) blob.Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := blob.Ref{Segment: 1, Offset: uint32(len(b.by) + b.released + 1), Length: uint64(len(text))}
	b.by[r] = []byte(text)
	return r
}

// set puts a text in place of a body's, or with nil takes it away.
func (b *bodies) set(r blob.Ref, text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if text == nil {
		delete(b.by, r)
	} else {
		b.by[r] = text
	}
}

func (b *bodies) Create(context.Context) (blob.Writer, error)    { return nil, errors.ErrUnsupported }
func (b *bodies) CreateOwn(context.Context) (blob.Writer, error) { return nil, errors.ErrUnsupported }
func (b *bodies) Open(r blob.Ref) (blob.Body, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, ok := b.by[r]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return body{bytes.NewReader(text)}, nil
}

func (b *bodies) Release(r blob.Ref) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.by, r)
	b.released++
	return nil
}
func (b *bodies) Close() error { return nil }

type body struct{ *bytes.Reader }

func (b body) Size() int64  { return b.Reader.Size() }
func (b body) Close() error { return nil }

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

// house is a queue with everything around it.
type house struct {
	t      *testing.T
	db     kv.Store
	bodies *bodies
	counts *refs.Counter
	world  *world
	q      *Queue
	opt    Options

	mu      sync.Mutex
	reports []*report.DSN
	texts   []string
	refuse  error // of Report
	events  []journal.Event
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, db: newMemory(), bodies: &bodies{by: map[blob.Ref][]byte{}}, world: newWorld()}
	h.counts = refs.New(h.bodies)
	h.open()
	return h
}

// open makes a queue over the store, as after a restart.
func (h *house) open() {
	log := slog.New(slog.DiscardHandler)
	j := journal.Open(h.db, clock.System{}, log, func(e *journal.Event) {
		h.mu.Lock()
		h.events = append(h.events, *e)
		h.mu.Unlock()
	})
	h.opt.DB, h.opt.Bodies, h.opt.Counts, h.opt.Journal = h.db, h.bodies, h.counts, j
	h.opt.Courier, h.opt.Clock, h.opt.Log, h.opt.Hostname, h.opt.Reporter = h.world, clock.System{}, log, "mx.example.test", h
	h.q = New(h.opt)
}

func (h *house) start() {
	h.t.Helper()
	if err := h.q.Start(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) stop() {
	h.t.Helper()
	if err := h.q.Close(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// Report implements Reporter.
func (h *house) Report(ctx context.Context, d *report.DSN, also func(kv.Tx) error, parts kv.Partitions) error {
	h.mu.Lock()
	refuse := h.refuse
	h.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	var text bytes.Buffer
	if _, err := d.WriteTo(&text); err != nil {
		return err
	}
	if err := h.db.Update(ctx, parts, also); err != nil {
		return err
	}
	h.mu.Lock()
	h.reports = append(h.reports, d)
	h.texts = append(h.texts, text.String())
	h.mu.Unlock()
	return nil
}

// told is the reports filed, written their texts.
func (h *house) told() []*report.DSN {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reports)
}

func (h *house) written() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.texts)
}

const letter = "Return-Path: <x@y>\r\nSubject: hello\r\nMessage-ID: <m@example.test>\r\n\r\ntext\r\n"

// letterTo is a message as intake hands it over.
func (h *house) letterTo(to ...string) *Message {
	m := &Message{
		Envelope: &envelope.Envelope{ID: id.New(time.Now()), From: addr("alice@example.test"), Received: time.Now()},
		Skip:     20, Size: int64(len(letter) - 20), MessageID: "<m@example.test>",
	}
	m.Body = h.bodies.add(letter)
	for _, s := range to {
		m.Rcpts = append(m.Rcpts, Rcpt{Rcpt: envelope.Rcpt{To: addr(s)}})
	}
	return m
}

func addr(s string) smtp.Address {
	a, err := smtp.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func (h *house) file(m *Message) {
	h.t.Helper()
	parts := kv.Partitions{Partition(m.Envelope.ID), refs.Partition(m.Body)}
	err := h.db.Update(context.Background(), parts, func(tx kv.Tx) error {
		if err := h.counts.AddTx(tx, m.Body, 1); err != nil {
			return err
		}
		return h.q.EnqueueTx(tx, m)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) enqueue(m *Message) {
	h.t.Helper()
	h.file(m)
	h.q.Enqueued(m)
}

// kinds are the kinds of all events for a recipient, "" for everybody.
func (h *house) kinds(to string) []journal.Kind {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []journal.Kind
	for _, e := range h.events {
		if to == "" || e.To == to {
			out = append(out, e.Kind)
		}
	}
	return out
}

// empty checks that nothing is left of any message.
func (h *house) empty() {
	h.t.Helper()
	list, err := h.q.List(context.Background(), Selector{}, Page{})
	if err != nil || len(list) > 0 {
		h.t.Errorf("left in the queue: %v, %v", list, err)
	}
	h.rows(0)
	h.bodies.mu.Lock()
	defer h.bodies.mu.Unlock()
	if n := len(h.bodies.by); n > 0 {
		h.t.Errorf("%d bodies are left", n)
	}
}

// rows checks the number of queue rows and verifies them.
func (h *house) rows(want int) {
	h.t.Helper()
	n := 0
	for shard := range uint16(Shards) {
		for _, kind := range []byte{rowMessage, rowEntry} {
			if err := scanRows(context.Background(), h.db, kv.QueueShard(shard), kind, func(_, _ []byte) error { n++; return nil }); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	if n != want {
		h.t.Errorf("%d rows, want %d", n, want)
	}
	if err := h.q.Verify(context.Background(), func(fault string) { h.t.Error(fault) }); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) list(sel Selector) []Entry {
	h.t.Helper()
	list, err := h.q.List(context.Background(), sel, Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}
