package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
)

// certificate makes TLS configurations for both ends.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	server = &tls.Config{Certificates: []tls.Certificate{nettest.SelfSigned(t, nettest.Leaf{Names: []string{"mx.example.test"}})}}
	return server, &tls.Config{InsecureSkipVerify: true}
}

// patience is how long a test waits for what must come, however slow the machine.
const patience = 10 * time.Minute

// patient are Timeouts of a server that waits as long for its client.
var patient = Timeouts{
	Command: patience, Crowded: patience, Data: patience, Message: time.Hour, Write: patience, Handshake: patience, Refusal: patience, BareEnd: patience,
}

// serve starts a server on a loopback port and stops it after the test.
func serve(t testing.TB, cfg Config, h Handler) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, cfg, h), l.Addr().String()
}

// serveOn starts a server on l and stops it after the test.
func serveOn(t testing.TB, l net.Listener, cfg Config, h Handler) *Server {
	t.Helper()
	if cfg.Hostname == "" {
		cfg.Hostname = "mx.example.test"
	}
	if cfg.Door == "" {
		cfg.Door = "smtp"
	}
	if cfg.Timeouts == (Timeouts{}) {
		cfg.Timeouts = patient
	}
	s := New(cfg, h)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// peer is a scripted client.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	conn.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// dial connects and takes the greeting.
func dial(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := newPeer(t, conn)
	p.want("220 ")
	return p
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatalf("send %.60q: %v", text, err)
	}
}

// reply reads one reply with all its lines.
func (p *peer) reply() string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Fatalf("after %q: %v", all.String(), err)
		}
		if !strings.HasSuffix(line, "\r\n") {
			p.t.Fatalf("reply line %q", line)
		}
		named := strings.HasPrefix(all.String()+line, "2") && strings.HasPrefix((all.String() + line)[4:], "mx.example.test")
		if !named && !hasEnhancedCode(line) {
			p.t.Errorf("no enhanced code in %q", line)
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return all.String()
		}
	}
}

// hasEnhancedCode checks a line of a reply: every one has a code of its class but
// 3yz, greetings and replies to HELO and EHLO (RFC 2034 section 4), which begin
// with our name.
func hasEnhancedCode(line string) bool {
	code, rest := line[:3], line[4:]
	if code[0] == '3' {
		return true
	}
	word, _, _ := strings.Cut(rest, " ")
	parts := strings.Split(word, ".")
	return len(parts) == 3 && parts[0] == code[:1] && parts[1] != "" && parts[2] != "" && strings.Trim(parts[1]+parts[2], "0123456789") == ""
}

// want checks how the next reply begins.
func (p *peer) want(prefix string) string {
	p.t.Helper()
	r := p.reply()
	if !strings.HasPrefix(r, prefix) {
		p.t.Fatalf("reply %q, want %q", r, prefix)
	}
	return r
}

// do sends a command and checks how the reply begins.
func (p *peer) do(command, prefix string) string {
	p.t.Helper()
	p.send(command + "\r\n")
	r := p.reply()
	if !strings.HasPrefix(r, prefix) {
		p.t.Fatalf("%q: reply %q, want %q", command, r, prefix)
	}
	return r
}

// closed checks that the server has hung up.
func (p *peer) closed() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("connection goes on: %q, %v", rest, err)
	}
}

func (p *peer) startTLS(cfg *tls.Config) {
	p.t.Helper()
	p.do("STARTTLS", "220 2.0.0")
	c := tls.Client(p.conn, cfg)
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.in = c, bufio.NewReader(c)
}

// begin opens a transaction to alice.
func (p *peer) begin() {
	p.t.Helper()
	p.do("EHLO client.test", "250")
	p.do("MAIL FROM:<s@remote.test>", "250 2.1.0")
	p.do("RCPT TO:<alice@example.test>", "250 2.1.5")
}

func address(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// watcher is an Observer that tells of sessions' ends and counts the rest.
type watcher struct {
	ends chan Summary

	mu      sync.Mutex
	opened  int
	refused []string
	logins  []error
	sizes   []int64
}

func newWatcher() *watcher { return &watcher{ends: make(chan Summary, 1000)} }

func (w *watcher) Closed(_ string, s Summary) { w.ends <- s }

func (w *watcher) Opened(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
}

func (w *watcher) Refused(_, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = append(w.refused, reason)
}

func (w *watcher) Login(_, _ string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logins = append(w.logins, err)
}

func (w *watcher) Message(_ string, size int64, _ time.Duration, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sizes = append(w.sizes, size)
}
