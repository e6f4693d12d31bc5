package queue

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/smtp"
)

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

// restart ends the queue and opens another over the store.
func (h *house) restart() {
	h.t.Helper()
	h.stop()
	h.open()
	h.start()
}

// setRefuse sets what Report answers from now on.
func (h *house) setRefuse(err error) {
	h.mu.Lock()
	h.refuse = err
	h.mu.Unlock()
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
	if err := commit(h.q, m, 1); err != nil {
		h.t.Fatal(err)
	}
}

// commit is the transaction of an intake that takes a message for the queue, the body of
// which has so many holders.
func commit(q *Queue, m *Message, holders int) error {
	parts := kv.Partitions{Partition(m.Envelope.ID), refs.Partition(m.Body)}
	return q.opt.DB.Update(context.Background(), parts, func(tx kv.Tx) error {
		if err := q.opt.Counts.AddTx(tx, m.Body, holders); err != nil {
			return err
		}
		return q.EnqueueTx(tx, m)
	})
}

func (h *house) enqueue(m *Message) {
	h.t.Helper()
	h.file(m)
	h.q.Enqueued(m)
}

// enqueueMany enqueues letters, one for each of n recipients with a number in
// their name.
func (h *house) enqueueMany(n int, to string) {
	h.t.Helper()
	for i := range n {
		h.enqueue(h.letterTo(fmt.Sprintf(to, i)))
	}
}

// pass lets time pass, and all be done that comes of it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
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
