package smtpd

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fromAfar is a connection of a client at an address of its own.
type fromAfar struct {
	net.Conn
	remote netip.AddrPort
}

func (c fromAfar) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// met starts a session with a stranger over net.Pipe, for virtual time, and
// leaves the greeting to be read.
func met(t *testing.T, s *Server) *peer {
	t.Helper()
	client, server := net.Pipe()
	if !s.start(fromAfar{server, netip.MustParseAddrPort("192.0.2.7:4321")}) {
		t.Fatal("server is closed")
	}
	p := newPeer(t, client)
	client.SetDeadline(time.Time{})
	return p
}

func TestEarlyTalkers(t *testing.T) {
	const delay = 300 * time.Millisecond
	for name, c := range map[string]struct {
		after time.Duration // when the client speaks
		mode  Mode
		want  string
	}{
		"at once":       {0, MX, "554 5.5.1 "},
		"a moment late": {delay - 1, MX, "554 5.5.1 "},
		"patient":       {delay + 1, MX, "220 "},
		"submission":    {0, Submission, "220 "},
		"LMTP":          {0, LMTP, "220 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatcher()
				s := New(Config{Hostname: "mx.example.test", Mode: c.mode, GreetDelay: delay, Observer: w}, &house{})
				p := met(t, s)
				began := time.Now()
				go func() {
					time.Sleep(c.after)
					p.conn.Write([]byte("NOOP\r\nMAIL FROM:<a@b.test>\r\n"))
				}()
				p.want(c.want)
				switch took := time.Since(began); {
				case c.want == "220 ":
					if c.mode == MX && took != delay || c.mode != MX && took != 0 {
						t.Errorf("greeted after %v", took)
					}
					p.want("250")
				default:
					p.closed()
					if sum := <-w.ends; sum.End != "early talker" || sum.Commands != 0 {
						t.Errorf("session %+v", sum)
					}
				}
				p.conn.Close()
				s.Shutdown(t.Context())
			})
		})
	}
}

// Over TCP, and for clients that are not made to wait.
func TestEarlyTalkersOverTCP(t *testing.T) {
	for name, trusted := range map[string]bool{"stranger": false, "trusted": true} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{GreetDelay: time.Hour}
			if trusted {
				cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			_, addr := serve(t, cfg, &house{})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p := newPeer(t, conn)
			if trusted {
				p.want("220 ")
				return
			}
			p.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			p.want("554 5.5.1 ")
			p.closed()
		})
	}
}

// A shutdown does not wait for a client that is waiting for its greeting.
func TestShutdownBeforeGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Hostname: "mx.example.test", GreetDelay: time.Hour}, &house{})
		p := met(t, s)
		synctest.Wait()
		began := time.Now()
		over := make(chan error, 1)
		go func() { over <- s.Shutdown(t.Context()) }()
		p.want("421 4.3.2")
		p.closed()
		if d := time.Since(began); d != 0 {
			t.Errorf("after %v", d)
		}
		p.conn.Close()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// Nothing is read behind a command whose reply says what comes next.
func TestOutOfStep(t *testing.T) {
	srvTLS, _ := certificate(t)
	for _, c := range []struct {
		name, first, say string
		replies          []string
	}{
		{"EHLO", "", "EHLO x\r\nMAIL FROM:<a@b.test>\r\n", nil},
		{"HELO", "", "HELO x\r\nMA", nil},
		{"AUTH", "EHLO x", "AUTH PLAIN\r\n" + plain("alice@example.test", "posthouse") + "\r\n", nil},
		{"STARTTLS", "EHLO x", "STARTTLS\r\nEHLO x\r\n", nil},
		{"refused DATA", "EHLO x", "DATA\r\nMAIL FROM:<evil@x.test>\r\n.\r\n", nil},
		{"DATA", "EHLO x", "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nhello\r\n.\r\n", []string{"250", "250"}},
		{"half a command", "EHLO x", "MAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\nRS", []string{"250", "550"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, w := &house{}, newWatcher()
			p := dialPipes(t, Config{TLS: srvTLS, OfferAuth: true, Observer: w}, h)
			if c.first != "" {
				p.do(c.first, "250")
			}
			p.send(c.say)
			for _, want := range c.replies {
				p.want(want)
			}
			p.want("554 5.5.0 ")
			p.closed()
			p.conn.Close()
			if sum := <-w.ends; sum.Messages != 0 || h.begun() != 0 {
				t.Errorf("session %+v, %d transfers", sum, h.begun())
			}
		})
	}
}

// What was sent in the clear while TLS began is no part of the secure session:
// it spoils the handshake.
func TestPlaintextDuringHandshake(t *testing.T) {
	srvTLS, _ := certificate(t)
	w := newWatcher()
	_, addr := serve(t, Config{TLS: srvTLS, Observer: w}, &house{})
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("STARTTLS", "220")
	p.send("MAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@example.test>\r\n")
	rest := make([]byte, 512)
	n, _ := p.conn.Read(rest) // a TLS alert, or nothing
	if bytes.Contains(rest[:n], []byte("250")) || strings.Contains(string(rest[:n]), "2.1.0") {
		t.Errorf("answered %q", rest[:n])
	}
	if sum := <-w.ends; sum.End != "handshake" || sum.Commands != 2 {
		t.Errorf("session %+v", sum)
	}
}
