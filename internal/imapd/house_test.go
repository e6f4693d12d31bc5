package imapd

import (
	"bufio"
	"context"
	"crypto"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/doortest"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/mailbox"
	"posthouse/internal/sasl"
)

// now is the time in the tests.
var now = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// house is a server on a real store, with the accounts alice (1) and bob (2).
type house struct {
	t     testing.TB
	store *mailbox.Store
	srv   *Server
	addr  string
	dir   string // of the store
	done  chan error
	db    kv.Store
}

// people is the Backend of the tests: everybody's password is "secret".
type people struct{ store *mailbox.Store }

func (p people) Authenticator(netip.Addr, string) sasl.Authenticator { return p }

func (p people) Account(ctx context.Context, acct id.Account) (*mailbox.Account, error) {
	return p.store.Account(ctx, acct)
}

func (p people) NewIncoming(ctx context.Context, _ int64) (*mailbox.Incoming, error) {
	return p.store.NewIncoming(ctx)
}

func (p people) Authenticate(_ context.Context, login, password string) (sasl.Identity, error) {
	n := map[string]id.Account{"alice": 1, "bob": 2}[login]
	switch {
	case login == "slow":
		return sasl.Identity{}, sasl.ErrThrottled
	case n == 0 || password != "secret":
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: n, Login: login}, nil
}

func (p people) Scram(context.Context, string, crypto.Hash) (sasl.ScramSecret, error) {
	return sasl.ScramSecret{}, errors.New("not here")
}

func (p people) ScramDone(context.Context, string, bool) (sasl.Identity, error) {
	return sasl.Identity{}, errors.New("not here")
}

func (p people) External(context.Context, []string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

func (p people) Bearer(context.Context, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, sasl.ErrCredentials
}

func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	dir := t.TempDir()
	store, db := doortest.Store(t, dir, clock.NewFake(now), 1<<20)
	h := newHouseOn(t, store, db, change...)
	h.dir = dir
	return h
}

func newHouseOn(t testing.TB, store *mailbox.Store, db kv.Store, change ...func(*Config)) *house {
	t.Helper()
	cfg := Config{
		Hostname: "mx.example.test", Version: "test", AllowPlaintext: true,
		MaxMessageSize: 1 << 20, Clock: testClock{},
	}
	for _, f := range change {
		f(&cfg)
	}
	h := &house{t: t, store: store, db: db, srv: New(cfg, people{store}), done: make(chan error, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h.addr = l.Addr().String()
	go func() { h.done <- h.srv.Serve(l) }()
	t.Cleanup(h.stop)
	return h
}

// testClock stands still for dates; its timers are real.
type testClock struct{ clock.System }

func (testClock) Now() time.Time { return now }

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		h.t.Error("shutdown:", err)
	}
	if err := <-h.done; !errors.Is(err, ErrClosed) {
		h.t.Error("serve:", err)
	}
	if n := h.srv.Sessions(); n != 0 {
		h.t.Error(n, "sessions are left")
	}
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

func (h *house) dial() *client {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	must(h.t, err)
	h.t.Cleanup(func() { c.Close() })
	must(h.t, c.SetDeadline(time.Now().Add(5*time.Minute)))
	cl := &client{h.t, c, bufio.NewReader(c)}
	if l := cl.line(); !strings.HasPrefix(l, "* OK ") {
		h.t.Fatalf("greeting: %q", l)
	}
	return cl
}

// login is dial for alice, with a mailbox selected unless box is "".
func (h *house) login(box string) *client {
	h.t.Helper()
	c := h.dial()
	c.ok("LOGIN alice secret")
	if box != "" {
		c.ok("SELECT " + box)
	}
	return c
}

func (c *client) line() string {
	c.t.Helper()
	l, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading: %v (after %q)", err, l)
	}
	return strings.TrimSuffix(l, "\r\n")
}

func (c *client) send(text string) {
	c.t.Helper()
	_, err := c.c.Write([]byte(text))
	must(c.t, err)
}

// do sends a command and gives the untagged lines and the tagged one, without tag.
func (c *client) do(command string) (untagged []string, tagged string) {
	c.t.Helper()
	c.send("x " + command + "\r\n")
	return c.reply("x")
}

func (c *client) reply(tag string) (untagged []string, tagged string) {
	c.t.Helper()
	for {
		l := c.line()
		if rest, ok := strings.CutPrefix(l, tag+" "); ok {
			return untagged, rest
		}
		untagged = append(untagged, l)
	}
}

func (c *client) ok(command string) []string {
	c.t.Helper()
	lines, tagged := c.do(command)
	if !strings.HasPrefix(tagged, "OK ") {
		c.t.Fatalf("%s: %s", command, tagged)
	}
	return lines
}

// appendMail files a message by APPEND.
func (c *client) appendMail(box, args, text string) {
	c.t.Helper()
	c.ok("APPEND " + box + " " + args + "{" + strconv.Itoa(len(text)) + "+}\r\n" + text)
}

// talk runs a conversation: "C:" lines are sent, "S:" lines must come, "~" in
// them stands for anything.
func (c *client) talk(script string) {
	c.t.Helper()
	for _, l := range strings.Split(strings.TrimSpace(script), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "C: "):
			c.send(l[3:] + "\r\n")
		case l == "C:":
			c.send("\r\n")
		case strings.HasPrefix(l, "S:"):
			want := strings.TrimPrefix(l[2:], " ")
			if got := c.line(); !doortest.Glob(want, got) {
				c.t.Fatalf("got  %q\nwant %q", got, want)
			}
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

func contains(lines []string, want string) bool {
	for _, l := range lines {
		if doortest.Glob(want, l) {
			return true
		}
	}
	return false
}

const simple = "From: Ann <ann@example.org>\r\nTo: alice@example.test\r\nSubject: hello\r\nDate: Mon, 6 May 2024 07:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nline one\r\nline two\r\n"
