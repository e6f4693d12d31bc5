package imapd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"posthouse/internal/mailbox"
)

// fill puts n messages into alice's INBOX: one body, copied.
func (h *house) fill(n int) {
	h.t.Helper()
	c := h.login("INBOX")
	c.appendMail("INBOX", `(\Seen) `, nested)
	c.appendMail("INBOX", `(Kw) `, nested)
	for have := 2; have < n; {
		k := min(have, n-have, 2000)
		c.ok(fmt.Sprintf("COPY 1:%d INBOX", k))
		have += k
	}
	c.ok("LOGOUT")
}

func benchFetch(b *testing.B, n int, command string) {
	h := newHouse(b)
	h.fill(n)
	c := h.login("INBOX")
	must(b, c.c.SetDeadline(time.Now().Add(10*time.Minute)))
	r := bufio.NewReaderSize(c.c, 256<<10)
	b.ReportAllocs()
	for b.Loop() {
		c.send("q " + command + "\r\n")
		for {
			l, err := r.ReadSlice('\n')
			must(b, err)
			if len(l) > 1 && l[0] == 'q' && l[1] == ' ' {
				break
			}
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

func BenchmarkFetchFlags(b *testing.B) { benchFetch(b, 20000, "FETCH 1:* (FLAGS)") }
func BenchmarkFetchUIDFlags(b *testing.B) {
	benchFetch(b, 20000, "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)")
}
func BenchmarkFetchEnvelope(b *testing.B) {
	benchFetch(b, 20000, "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)")
}
func BenchmarkFetchBody(b *testing.B)  { benchFetch(b, 5000, "FETCH 1:* (BODY.PEEK[])") }
func BenchmarkSearchFlag(b *testing.B) { benchFetch(b, 20000, "SEARCH UNSEEN") }
func BenchmarkStoreFlags(b *testing.B) { benchFetch(b, 20000, `STORE 1:* +FLAGS (\Flagged)`) }

// An idle session is cheap.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("opens many connections")
	}
	const n = 100
	h := newHouse(t, func(c *Config) { c.MaxPerAccount = n + 10 })
	h.fill(200)
	// Clients that keep nothing: what is measured is the server's.
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	before := memory()
	for range n {
		c, err := net.Dial("tcp", h.addr)
		must(t, err)
		conns = append(conns, c)
		must(t, c.SetDeadline(time.Now().Add(5*time.Minute)))
		_, err = io.WriteString(c, "a LOGIN alice secret\r\nb SELECT INBOX\r\nf FETCH 1:* (ENVELOPE)\r\nc IDLE\r\n")
		must(t, err)
		r := bufio.NewReader(c)
		for {
			l, err := r.ReadString('\n')
			must(t, err)
			if strings.HasPrefix(l, "+ idling") {
				break
			}
		}
	}
	per := (memory() - before) / n
	t.Logf("%d bytes per idle session", per)
	if per > 40<<10 {
		t.Errorf("an idle session takes %d bytes, more than 40 KB", per)
	}
}

// memory is heap and stacks in use, after stacks had a chance to shrink.
func memory() int64 {
	for range 5 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// A change reaches an idle session, whoever made it.
func TestIdleHearsOfDeliveries(t *testing.T) {
	h := newHouse(t)
	b := h.login("INBOX")
	b.talk(`
		C: i IDLE
		S: + idling
	`)
	acct, err := h.store.Account(context.Background(), 1)
	must(t, err)
	defer acct.Release()
	in, err := h.store.NewIncoming(context.Background())
	must(t, err)
	_, err = io.WriteString(in, simple)
	must(t, err)
	_, err = acct.Append(context.Background(), "INBOX", in, mailbox.Flagged, nil, now)
	must(t, err)
	b.talk("S: * 1 EXISTS")
}
