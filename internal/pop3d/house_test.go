package pop3d

import (
	"bufio"
	"context"
	"crypto"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"posthouse/internal/clock"
	"posthouse/internal/doortest"
	"posthouse/internal/id"
	"posthouse/internal/mailbox"
	"posthouse/internal/sasl"
)

// now is the time in the tests.
var now = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// house is a server on a real store, with the accounts alice (1) and bob (2).
type house struct {
	t     testing.TB
	clock *clock.Fake
	store *mailbox.Store
	srv   *Server
	addr  string
	dir   string // of the store
	done  chan error
}

// people is the Backend of the tests: everybody's password is "pass word".
type people struct{ store *mailbox.Store }

func (p people) Authenticator(netip.Addr, string) sasl.Authenticator { return p }

func (p people) Account(ctx context.Context, acct id.Account) (*mailbox.Account, error) {
	return p.store.Account(ctx, acct)
}

const password = "pass word"

func identity(login string) (sasl.Identity, error) {
	n := map[string]id.Account{"alice": 1, "bob": 2, "grün": 2}[login]
	if n == 0 {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: n, Login: login}, nil
}

func (p people) Authenticate(_ context.Context, login, pass string) (sasl.Identity, error) {
	switch {
	case login == "slow":
		return sasl.Identity{}, sasl.ErrThrottled
	case login == "broken":
		return sasl.Identity{}, io.ErrUnexpectedEOF
	case pass != password:
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return identity(login)
}

func (p people) Scram(_ context.Context, login string, hash crypto.Hash) (sasl.ScramSecret, error) {
	generator := scram.SHA256
	if hash == crypto.SHA1 {
		generator = scram.SHA1
	}
	client, err := generator.NewClient(login, password, "")
	if err != nil {
		return sasl.ScramSecret{}, err
	}
	kept, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of the earth", Iters: 4096})
	return sasl.ScramSecret{Salt: []byte(kept.Salt), Iterations: kept.Iters, StoredKey: kept.StoredKey, ServerKey: kept.ServerKey}, err
}

func (p people) ScramDone(_ context.Context, login string, ok bool) (sasl.Identity, error) {
	if !ok {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return identity(login)
}

func (p people) External(context.Context, []string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

func (p people) Bearer(context.Context, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

// newHouse is a house where alice has these messages.
func newHouse(t testing.TB, change func(*Config), mail ...string) *house {
	t.Helper()
	clk := clock.NewFake(now)
	dir := t.TempDir()
	store, _ := doortest.Store(t, dir, clk, 2<<20)
	cfg := Config{Hostname: "mx.example.test", Version: "test", AllowPlaintext: true}
	if change != nil {
		change(&cfg)
	}
	h := &house{t: t, dir: dir, store: store, clock: clk, srv: New(cfg, people{store}), done: make(chan error, 1)}
	for _, m := range mail {
		h.deliver(m)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h.addr = l.Addr().String()
	go func() { h.done <- h.srv.Serve(l) }()
	t.Cleanup(h.stop)
	return h
}

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		h.t.Error("shutdown:", err)
	}
	if err := <-h.done; err != nil {
		h.t.Error("serve:", err)
	}
}

// account is alice's.
func (h *house) account() *mailbox.Account {
	h.t.Helper()
	a, err := h.store.Account(context.Background(), 1)
	must(h.t, err)
	h.t.Cleanup(a.Release)
	return a
}

// deliver files a message for alice.
func (h *house) deliver(text string) {
	h.t.Helper()
	ctx := context.Background()
	in, err := h.store.NewIncoming(ctx)
	must(h.t, err)
	_, err = in.Write([]byte(text))
	must(h.t, err)
	_, err = h.account().Append(ctx, "INBOX", in, 0, nil, now)
	must(h.t, err)
}

// count is how many messages alice has.
func (h *house) count() int {
	h.t.Helper()
	st, err := h.account().Status(context.Background(), "INBOX")
	must(h.t, err)
	return int(st.Messages)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client is the other end of a conversation.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(5*time.Minute)))
	return &client{t, c, bufio.NewReader(c)}
}

// connect does not read the greeting.
func (h *house) connect() *client {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	must(h.t, err)
	return newClient(h.t, c)
}

func (h *house) dial() *client {
	h.t.Helper()
	c := h.connect()
	c.want("+OK mx.example.test ~")
	return c
}

// login is dial for alice.
func (h *house) login() *client {
	h.t.Helper()
	c := h.dial()
	c.talk("C: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: +OK ~")
	return c
}

func (c *client) line() string {
	c.t.Helper()
	l, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading: %v (after %q)", err, l)
	}
	if !strings.HasSuffix(l, "\r\n") {
		c.t.Fatalf("line %q does not end with CRLF", l)
	}
	return l[:len(l)-2]
}

func (c *client) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.c, text)
	must(c.t, err)
}

func (c *client) want(pattern string) string {
	c.t.Helper()
	got := c.line()
	if !doortest.Glob(pattern, got) {
		c.t.Fatalf("got  %q\nwant %q", got, pattern)
	}
	return got
}

// raw reads up to the line with the dot and gives everything before it, as sent.
func (c *client) raw() string {
	c.t.Helper()
	var b strings.Builder
	for {
		l, err := c.r.ReadString('\n')
		must(c.t, err)
		if l == ".\r\n" {
			return b.String()
		}
		b.WriteString(l)
	}
}

// fetch asks for something of many lines and takes the stuffing off.
func (c *client) fetch(command string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	c.want("+OK~")
	text := "\n" + c.raw()
	return strings.ReplaceAll(text, "\n..", "\n.")[1:]
}

// talk runs a conversation: "C:" lines are sent, "S:" lines must come, "~" in
// them stands for anything.
func (c *client) talk(script string) {
	c.t.Helper()
	for _, l := range strings.Split(strings.TrimSpace(script), "\n") {
		l = strings.TrimLeft(l, "\t ")
		switch {
		case strings.HasPrefix(l, "C: "):
			c.send(l[3:] + "\r\n")
		case strings.HasPrefix(l, "S: "):
			c.want(l[3:])
		default:
			c.t.Fatalf("bad script line %q", l)
		}
	}
}

// closed checks that the server hangs up.
func (c *client) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("still open, sent %q", b)
	}
}

// hangUp ends the connection without QUIT and waits until the server has noticed.
func (c *client) hangUp() {
	c.t.Helper()
	must(c.t, c.c.(*net.TCPConn).CloseWrite())
	_, err := io.Copy(io.Discard, c.r)
	must(c.t, err)
}

const simple = "From: Ann <ann@example.org>\r\nSubject: hello\r\n\r\nline one\r\nline two\r\nline three\r\n"
