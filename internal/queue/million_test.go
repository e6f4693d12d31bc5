package queue

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
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
	"posthouse/internal/kv/pebble"
)

// BenchmarkMillion is a queue of a million recipients that wait for their second
// attempt, in the real store: how long the start takes (load-s), how much memory
// each costs (B/rcpt), and how long a new message takes beside them, from its
// commit to the record of its delivery, which is the disk for the most part
// (ns/op), and from there to the courier (us-to-courier). "empty" is the same for
// a queue with nothing in it; a page is 1,000 entries of a list; in "dead" all million are due, for one site that
// cannot be reached.
//
//	go test ./internal/queue -run '^$' -bench Million -benchtime 2000x
func BenchmarkMillion(b *testing.B) {
	for _, c := range []struct {
		name            string
		messages, rcpts int
		in              time.Duration
	}{
		{"empty", 0, 0, 0},
		{"1000000x1", 1_000_000, 1, time.Hour},
		{"1000x1000", 1000, 1000, time.Hour},
		{"dead", 1_000_000, 1, -time.Hour},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkMillion(b, c.messages, c.rcpts, c.in) })
	}
}

func benchmarkMillion(b *testing.B, messages, rcpts int, in time.Duration) {
	db, err := pebble.Open(filepath.Join(b.TempDir(), "kv"), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	fill(b, db, messages, rcpts, in)
	w := newWorld()
	w.forget = true
	var called time.Time
	w.answer = func(to string, _ int) courier.Outcome {
		if strings.HasSuffix(to, ".shared") {
			return unreached()
		}
		called = time.Now()
		return sent()
	}
	var scheduling time.Duration
	store := &bodies{by: map[blob.Ref][]byte{}}
	text := store.add(letter)
	before := heapBytes()
	q := New(Options{
		DB: db, Bodies: store, Counts: refs.New(store), Courier: w, Clock: clock.System{}, Hostname: "us.example.test",
		Journal: journal.Open(db, clock.System{}, slog.New(slog.DiscardHandler)),
	})
	began := time.Now()
	if err := q.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	load := time.Since(began)
	for settled := false; !settled; time.Sleep(10 * time.Millisecond) {
		q.mu.Lock()
		settled = q.resolves+len(q.asking)+q.lanes == 0
		q.mu.Unlock()
	}
	after := heapBytes()
	for b.Loop() {
		m := &Message{
			Envelope: &envelope.Envelope{ID: id.New(time.Now()), From: addr("alice@example.test"), Received: time.Now()},
			Body:     text, Skip: 20, Size: int64(len(letter) - 20), Rcpts: []Rcpt{{Rcpt: envelope.Rcpt{To: addr("bob@new.example")}}},
		}
		if err := commit(q, m, 2); err != nil { // the body stays
			b.Fatal(err)
		}
		handed := time.Now()
		q.Enqueued(m)
		for key, _ := m.Envelope.ID.Pack(); ; runtime.Gosched() {
			q.mu.Lock()
			left := q.messages[key] != nil
			q.mu.Unlock()
			if !left {
				break
			}
		}
		w.mu.Lock()
		scheduling += called.Sub(handed)
		w.mu.Unlock()
	}
	b.ReportMetric(float64(scheduling.Microseconds())/float64(b.N), "us-to-courier")
	if n := messages * rcpts; n > 0 {
		if q.depth[sWaiting]+q.depth[sReady] != n {
			b.Fatalf("%d entries wait", q.depth[sWaiting])
		}
		began := time.Now()
		if list, err := q.List(b.Context(), Selector{}, Page{Limit: 1000}); err != nil || len(list) != 1000 {
			b.Fatalf("%d listed, %v", len(list), err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/page")
		b.ReportMetric(load.Seconds(), "load-s")
		b.ReportMetric(float64(after-before)/float64(n), "B/rcpt")
	}
	if err := q.Close(context.Background()); err != nil {
		b.Error(err)
	}
}

// heapBytes is the bytes in use after a collection.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fill writes messages of so many recipients each, of 20,000 domains, that have
// been tried once.
func fill(b *testing.B, db kv.Store, messages, rcpts int, in time.Duration) {
	now := time.Now()
	answer := courier.Outcome{Code: 451, Text: "4.7.1 Greylisting in action, please come back later", Remote: true, Host: "mx1.example.net"}
	n := 0
	for m := 0; m < messages; {
		by := map[uint16][][2][]byte{}
		size := 0
		for ; m < messages && size < 4<<20; m++ {
			e := &envelope.Envelope{ID: id.New(now.Add(-time.Duration(m) * time.Millisecond)), Received: now, Tenant: envelope.MainTenant, Stream: envelope.Person}
			e.From.Local, e.From.Domain = fmt.Sprintf("sender%d", m%5000), "example.test"
			msg := &Message{Envelope: e, Body: blob.Ref{Segment: 1, Offset: uint32(m), Length: 1000}, Size: 1000, MessageID: "<" + string(e.ID) + "@example.test>"}
			h := head{from: e.From, body: msg.Body, size: msg.Size, created: now, expires: now.Add(DefaultExpireAfter)}
			value, err := encodeMessage(&h, msg)
			if err != nil {
				b.Fatal(err)
			}
			shard := shardOf(e.ID)
			by[shard] = append(by[shard], [2][]byte{messageKey(e.ID), value})
			for i := range rcpts {
				r := &row{state: Waiting, next: now.Add(in + time.Duration(n*7919%1_000_000)*time.Microsecond)}
				r.rcpt.To.Local, r.rcpt.To.Domain = fmt.Sprintf("recipient%d", n), fmt.Sprintf("domain%d.shared", n%20_000)
				n++
				r.tried(now, &answer)
				value := r.encode()
				by[shard] = append(by[shard], [2][]byte{entryKey(e.ID, uint16(i)), value})
				size += len(value)
			}
		}
		for shard, rows := range by {
			err := db.Update(context.Background(), kv.Partitions{kv.QueueShard(shard)}, func(tx kv.Tx) error {
				for _, r := range rows {
					if err := tx.Set(r[0], r[1]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
