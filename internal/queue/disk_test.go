package queue

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/courier"
	"posthouse/internal/dns"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
)

// sink is an SMTP server that takes everything and remembers the Message-IDs.
type sink struct {
	ln    net.Listener
	mu    sync.Mutex
	seen  map[string]int
	conns int
	wg    sync.WaitGroup
	took  chan struct{} // a value per message
}

func newSink(t testing.TB) *sink {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{ln: ln, seen: map[string]int{}, took: make(chan struct{}, 1_000_000)}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	say := func(line string) {
		w.WriteString(line + "\r\n")
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
	say("220 sink")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch strings.ToUpper(line[:4]) {
		case "EHLO":
			say("250-sink\r\n250 PIPELINING")
		case "DATA":
			say("354 go on")
			mid := ""
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				if strings.HasPrefix(line, "Message-ID: ") {
					mid = strings.TrimSpace(line[12:])
				}
			}
			s.mu.Lock()
			s.seen[mid]++
			s.mu.Unlock()
			say("250 2.0.0 taken")
			select {
			case s.took <- struct{}{}:
			default:
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// noDNS answers nothing; routes do not ask.
type noDNS struct{}

func (noDNS) LookupMX(context.Context, string) ([]dns.MX, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}
func (noDNS) LookupIP(context.Context, string) ([]netip.Addr, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}
func (noDNS) LookupTXT(context.Context, string) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}
func (noDNS) LookupTLSA(context.Context, string) ([]dns.TLSA, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}
func (noDNS) LookupCNAME(context.Context, string) (string, dns.Answer, error) {
	return "", dns.Answer{}, dns.ErrNotFound
}

func (noDNS) LookupPTR(context.Context, netip.Addr) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

// diskHouse is a queue with the real engines and the real courier.
type diskHouse struct {
	db      *pebble.Store
	bodies  *segment.Store
	courier *courier.Courier
	q       *Queue
}

func openDisk(t testing.TB, dir, via string, observers ...journal.Observer) *diskHouse {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "kv"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := segment.Open(filepath.Join(dir, "log"), segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &diskHouse{db: db, bodies: bodies, courier: courierTo(t, via)}
	h.q = New(Options{
		DB: db, Bodies: bodies, Counts: refs.New(bodies), Courier: h.courier, Clock: clock.System{}, Hostname: "us.example.test",
		Journal: journal.Open(db, clock.System{}, slog.New(slog.DiscardHandler), observers...),
	})
	return h
}

// courierTo makes a courier that brings everything to one server. It gives up
// neither a call nor a connection because the machine is slow.
func courierTo(t testing.TB, via string) *courier.Courier {
	t.Helper()
	rule, err := courier.ParseRule("*", "smtp://"+via)
	if err != nil {
		t.Fatal(err)
	}
	return courier.New(courier.Options{
		Hostname: "us.example.test", Resolver: noDNS{}, Routes: []courier.RouteRule{rule},
		Idle: time.Hour, Timeouts: courier.Timeouts{Connect: 5 * time.Minute},
	})
}

func (h *diskHouse) close(t testing.TB) {
	t.Helper()
	if err := h.q.Close(context.Background()); err != nil {
		t.Error(err)
	}
	h.courier.Close()
	if err := h.db.Close(); err != nil {
		t.Error(err)
	}
	if err := h.bodies.Close(); err != nil {
		t.Error(err)
	}
}

// accept is what intake does, without the checks.
func (h *diskHouse) accept(text, to string) (*Message, error) {
	return h.acceptBehind("", text, to)
}

// acceptBehind is accept of a message that lies in the store behind another text.
func (h *diskHouse) acceptBehind(before, text, to string) (*Message, error) {
	ctx := context.Background()
	w, err := h.bodies.Create(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, before+text); err != nil {
		return nil, err
	}
	now := time.Now()
	m := &Message{
		Envelope: &envelope.Envelope{ID: id.New(now), From: addr("alice@example.test"), Received: now},
		Skip:     int64(len(before)), Size: int64(len(text)), Rcpts: []Rcpt{{Rcpt: envelope.Rcpt{To: addr(to)}}},
	}
	if m.Body, err = w.Commit(ctx, nil); err != nil {
		return nil, err
	}
	return m, commit(h.q, m, 1)
}

func (h *diskHouse) accepted(text, to string) error {
	m, err := h.accept(text, to)
	if err == nil {
		h.q.Enqueued(m)
	}
	return err
}

func (h *diskHouse) waitEmpty(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		h.q.mu.Lock()
		n := len(h.q.messages)
		h.q.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages do not leave the queue", n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func messageText(mid string, size int) string {
	return "Message-ID: " + mid + "\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("a", 70)+"\r\n", size/72)
}

func TestRelayOnDisk(t *testing.T) {
	s := newSink(t)
	h := openDisk(t, t.TempDir(), s.ln.Addr().String())
	if err := h.q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := h.accepted(messageText(strconv.Itoa(i), 2000), fmt.Sprintf("u%d@d%d.net", i, i%10)); err != nil {
			t.Fatal(err)
		}
	}
	h.waitEmpty(t)
	if err := h.q.Verify(t.Context(), func(fault string) { t.Error(fault) }); err != nil {
		t.Error(err)
	}
	err := h.db.View(t.Context(), func(r kv.Reader) error {
		return refs.Scan(r, func(ref blob.Ref, n int) bool { t.Errorf("%v still has %d references", ref, n); return true })
	})
	if err != nil {
		t.Error(err)
	}
	h.close(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	for mid, n := range s.seen {
		if n != 1 {
			t.Errorf("%s came %d times", mid, n)
		}
	}
	if len(s.seen) != 200 || s.conns > courier.DefaultPerSite {
		t.Errorf("%d messages over %d connections", len(s.seen), s.conns)
	}
}

// BenchmarkRelay is a message of 10 KB from the commit to the sink and out of the queue.
func BenchmarkRelay(b *testing.B) {
	s := newSink(b)
	h := openDisk(b, b.TempDir(), s.ln.Addr().String())
	if err := h.q.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for i := c; i < b.N; i += 32 {
				if err := h.accepted(messageText(strconv.Itoa(i), 10_000), "bob@example.net"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	h.waitEmpty(b)
	b.StopTimer()
	b.ReportMetric(float64(s.conns), "conns")
	h.close(b)
}

// BenchmarkLoad is the start with 100,000 entries waiting.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	h := openDisk(b, dir, "127.0.0.1:1")
	for range 100 {
		parts := make(kv.Partitions, 0, Shards)
		for n := range uint16(Shards) {
			parts = append(parts, kv.QueueShard(n))
		}
		err := h.db.Update(b.Context(), parts, func(tx kv.Tx) error {
			for range 1000 {
				m := &Message{
					Envelope: &envelope.Envelope{ID: id.New(time.Now()), From: addr("alice@example.test"), Received: time.Now().Add(time.Hour)},
					Body:     blob.Ref{Segment: 1, Length: 1}, Rcpts: []Rcpt{{Rcpt: envelope.Rcpt{To: addr("bob@example.net")}}},
				}
				if err := h.q.EnqueueTx(tx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		q := New(h.q.opt)
		if err := q.load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if len(q.messages) != 100_000 {
			b.Fatal(len(q.messages))
		}
	}
	b.StopTimer()
	h.close(b)
}
