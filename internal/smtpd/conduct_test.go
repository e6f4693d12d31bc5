package smtpd

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/listen"
)

// Every error beyond half of those allowed makes the client wait longer.
func TestSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Hostname: "mx.example.test", ErrorDelay: time.Second, Limits: Limits{Errors: 8}}, &house{})
		p := met(t, s)
		p.want("220")
		for i := range 8 {
			began := time.Now()
			p.do("RSET x", "501")
			if d := time.Since(began); d != time.Duration(max(0, i-3))*time.Second {
				t.Errorf("error %d: answered after %v", i+1, d)
			}
			p.do("EHLO x", "250") // what is right is answered at once
		}
		p.do("RSET x", "501")
		p.do("NOOP", "421 4.7.0 Too many errors")
		p.closed()
		p.conn.Close()
		s.Shutdown(t.Context())
	})
}

// Only so many sessions wait; one more is ended. A shutdown wakes them.
func TestSlowDownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Hostname: "mx.example.test", ErrorDelay: time.Hour, Limits: Limits{Errors: 1, Connections: -1, ConnectionsPerIP: -1}}, &house{})
		var peers []*peer
		for range maxSlowed {
			p := met(t, s)
			p.want("220")
			p.send("RSET x\r\n")
			peers = append(peers, p)
		}
		synctest.Wait()
		p := met(t, s)
		p.want("220")
		p.do("RSET x", "501")
		p.want("421 4.7.0 Too many errors")
		p.conn.Close()
		began := time.Now()
		over := make(chan error, 1)
		go func() { over <- s.Shutdown(t.Context()) }()
		for _, p := range peers {
			p.want("501")
			p.want("421 4.3.2")
			p.conn.Close()
		}
		if err := <-over; err != nil || time.Since(began) != 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(began))
		}
	})
}

// A list longer than a message may have is no error of the sender's; a million
// recipients are, and cost no memory.
func TestAMillionRecipients(t *testing.T) {
	h, w := &house{}, newWatcher()
	_, addr := serve(t, Config{Limits: Limits{Recipients: 100, Errors: 20}, Observer: w}, h)
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("MAIL FROM:<a@b.test>", "250")
	for i := range 600 {
		p.send("RCPT TO:<alice@example.test>\r\n")
		if i < 100 {
			p.want("250")
		} else {
			p.want("452 4.5.3")
		}
	}
	p.do("DATA", "354")
	p.do("x\r\n.", "250")
	p.do("MAIL FROM:<a@b.test>", "250")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		block := strings.Repeat("RCPT TO:<alice@example.test>\r\n", 1000)
		for range 1000 {
			if _, err := io.WriteString(p.conn, block); err != nil {
				return // the server has had enough
			}
		}
	}()
	answered := 0
	for r := p.reply(); !strings.HasPrefix(r, "421 4.7.0 Too many errors"); r = p.reply() {
		answered++
	}
	p.conn.Close()
	<-sent
	if want := 100 + overshoot + 21; answered != want {
		t.Errorf("%d recipients answered, want %d", answered, want)
	}
	if m := only(t, h); len(m.env.Rcpts) != 100 {
		t.Errorf("%d recipients", len(m.env.Rcpts))
	}
}

// Thousands of connections from one network: a few are served, the others are
// answered or cut off; nothing piles up.
func TestThousandsOfConnections(t *testing.T) {
	const clients, served, dialers = 3000, 50, 20
	w := newWatcher()
	s, addr := serve(t, Config{Limits: Limits{ConnectionsPerIP: -1, ConnectionsPerNetwork: served}, Observer: w}, &house{})
	var first []*peer
	for range served {
		first = append(first, dial(t, addr))
	}
	heap := heapInUse()
	var mu sync.Mutex
	var open []net.Conn
	var wg sync.WaitGroup
	for range dialers {
		wg.Go(func() {
			for range clients / dialers {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(patience))
				answer := make([]byte, 3)
				switch n, _ := io.ReadFull(conn, answer); {
				case n == 0: // cut off
					conn.Close()
				case string(answer) == "421":
					mu.Lock()
					open = append(open, conn) // it does not hang up
					mu.Unlock()
				default:
					t.Errorf("told %q", answer[:n])
				}
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	held := len(s.sessions)
	s.mu.Unlock()
	if held > served+listen.MaxExplained {
		t.Errorf("%d sessions are held", held)
	}
	if grown := heapInUse() - heap; grown > 8<<20 {
		t.Errorf("the heap grew by %d KB", grown>>10)
	}
	w.mu.Lock()
	refused := len(w.refused)
	w.mu.Unlock()
	if len(open) == 0 || refused != clients {
		t.Errorf("%d of %d were told, %d counted", len(open), clients, refused)
	}
	for _, p := range first {
		p.do("NOOP", "250")
	}
	for _, conn := range open {
		conn.Close()
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what a pool has lives through one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// A client that keeps connecting is told to come slower.
func TestConnectionRates(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		want   string
		reason string
	}{
		"address": {Limits{ConnectionRate: 3}, "421 4.7.0 Your address connects too often", "address rate"},
		"network": {Limits{NetworkRate: 3}, "421 4.7.0 Your network connects too often", "network rate"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatcher()
				s := New(Config{Hostname: "mx.example.test", Limits: c.limits, Observer: w}, &house{})
				try := func(want string) {
					t.Helper()
					p := met(t, s)
					p.want(want)
					p.conn.Close()
				}
				for range 3 {
					try("220")
				}
				try(c.want)
				time.Sleep(19 * time.Second)
				try(c.want)
				time.Sleep(time.Second)
				try("220")
				try(c.want)
				if len(w.refused) != 3 || w.refused[0] != c.reason {
					t.Errorf("counted %q", w.refused)
				}
				s.Shutdown(t.Context())
			})
		})
	}
}

// A client that begins TLS and stalls, at once or after some octets, has no more
// time than any other.
func TestStalledHandshake(t *testing.T) {
	srvTLS, _ := certificate(t)
	hello := recordHello(t)
	for name, c := range map[string]struct {
		implicit bool
		drip     string // one octet every ten seconds
	}{"STARTTLS": {}, "implicit": {implicit: true}, "dripping": {drip: hello}, "dripping, implicit": {true, hello}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatcher()
				s := New(Config{Hostname: "mx.example.test", Mode: Submission, TLS: srvTLS, ImplicitTLS: c.implicit, Observer: w}, &house{})
				p := met(t, s)
				if !c.implicit {
					p.want("220")
					p.do("EHLO x", "250")
					p.do("STARTTLS", "220")
				}
				began := time.Now()
				dripped := make(chan struct{})
				go func() {
					defer close(dripped)
					for i := range len(c.drip) {
						if _, err := io.WriteString(p.conn, c.drip[i:i+1]); err != nil {
							return
						}
						time.Sleep(10 * time.Second)
					}
				}()
				sum := <-w.ends
				if d := time.Since(began); d != 30*time.Second || sum.End != "handshake" {
					t.Errorf("after %v: %+v", d, sum)
				}
				p.conn.Close()
				s.Shutdown(t.Context())
				<-dripped
			})
		})
	}
}

// recordHello is what a TLS client says first.
func recordHello(t *testing.T) string {
	client, server := net.Pipe()
	defer server.Close()
	go tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
	buf := make([]byte, 4096)
	n, err := server.Read(buf)
	if err != nil || n < 100 {
		t.Fatal(n, err)
	}
	return string(buf[:n])
}

// Garbage of every kind gets an answer and an end, and no session outlives it.
func TestGarbage(t *testing.T) {
	w := newWatcher()
	_, addr := serve(t, Config{Limits: Limits{Errors: 10}, Observer: w}, &house{})
	for i, garbage := range []string{
		strings.Repeat("\x00", 100_000), strings.Repeat("\xff\r\n", 1000), strings.Repeat("A\r\n", 1000), strings.Repeat("\r\n", 1000),
		"\x16\x03\x01\x02\x00\x01\x00\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nMAIL FROM:<a@b>\r\n", "SSH-2.0-OpenSSH\r\n", "\x80\n\x80",
		strings.Repeat("NOOP ", 1<<18), strings.Repeat("\r", 1<<21), "EHLO x\r\n" + strings.Repeat("NOOP\r\n", 1000),
	} {
		p := dial(t, addr)
		go func() {
			io.WriteString(p.conn, garbage)
			p.conn.(*net.TCPConn).CloseWrite()
		}()
		all, _ := io.ReadAll(p.in)
		if text := string(all); !strings.Contains(text, "\r\n421 ") && !strings.HasPrefix(text, "421 ") && !strings.HasPrefix(text, "521 ") && !strings.HasPrefix(text, "554 ") &&
			!strings.HasPrefix(garbage, "\x00") && i != 9 {
			t.Errorf("garbage %d: answered %.80q", i, text)
		}
		p.conn.Close()
		if sum := <-w.ends; sum.Commands > 200 {
			t.Errorf("garbage %d: session %+v", i, sum)
		}
	}
}

// Who is trusted is held to the protocol, and to nothing else.
func TestTrustedAreNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{
			Hostname: "mx.example.test", ErrorDelay: time.Hour, GreetDelay: time.Hour, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Limits: Limits{Errors: 1, Idle: 1, UnknownRcpts: 1, Commands: 1, Unknown: 1, Messages: 1, ConnectionsPerNetwork: 1, ConnectionRate: 1},
		}, &house{})
		began := time.Now()
		var all []*peer
		for range 3 {
			p := met(t, s)
			all = append(all, p)
			p.want("220")
			for range 5 {
				p.do("RSET x", "501")
				p.do("FOO", "500")
				p.do("EHLO x", "250")
				p.do("MAIL FROM:<>", "250")
				p.do("RCPT TO:<nobody@example.test>", "550 5.1.1")
				p.do("RCPT TO:<bob@example.test>", "250")
				p.do("BDAT 0 LAST", "250")
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("made to wait for %v", d)
		}
		for _, p := range all {
			p.conn.Close()
		}
		s.Shutdown(t.Context())
	})
}

// While most places are taken, silent strangers hold theirs for a shorter time.
func TestCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher()
		s := New(Config{Hostname: "mx.example.test", Limits: Limits{Connections: 5}, Observer: w}, &house{})
		first := met(t, s)
		first.want("220")
		synctest.Wait() // it waits for a command now
		var others []*peer
		for range 4 {
			p := met(t, s)
			p.want("220")
			synctest.Wait()
			others = append(others, p)
		}
		began := time.Now()
		for _, p := range others[2:] {
			p.want("421 4.4.2")
			p.conn.Close()
		}
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("crowded: waited %v", d)
		}
		synctest.Wait()
		first.do("NOOP", "250") // not crowded any more
		began = time.Now()
		first.want("421 4.4.2")
		if d := time.Since(began); d != 5*time.Minute {
			t.Errorf("not crowded: waited %v", d)
		}
		for _, p := range append(others[:2], first) {
			p.conn.Close()
		}
		s.Shutdown(t.Context())
	})
}
