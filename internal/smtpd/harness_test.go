package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
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

// certificate makes TLS configurations for both ends.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mx.example.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{InsecureSkipVerify: true}
}

// patience is how long a test waits for what must come, however slow the machine.
const patience = 10 * time.Minute

// patient are Timeouts of a server that waits as long for its client.
var patient = Timeouts{
	Command: patience, Crowded: patience, Data: patience, Message: time.Hour, Write: patience, Handshake: patience, BareEnd: patience,
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

func only(t testing.TB, h *house) got {
	t.Helper()
	all := h.all()
	if len(all) != 1 {
		t.Fatalf("%d messages, want 1", len(all))
	}
	return all[0]
}

func address(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
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
