package intake

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/directory"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailbox"
	"posthouse/internal/queue"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/smtpd"
	"posthouse/internal/space"
)

// house is an intake on the real engines, behind real SMTP and LMTP doors. What
// goes to the queue ends in sent.
type house struct {
	t         *testing.T
	in        *Intake
	clock     *clock.Fake
	directory *directory.Directory
	mailboxes *mailbox.Store
	bodies    *segment.Store

	meanwhile func() // runs once, before the next transaction of the intake

	mu     sync.Mutex
	sent   []*queue.Message
	events []journal.Event
}

func newHouse(t *testing.T, accounts ...string) *house {
	t.Helper()
	return newHouseOn(t, nil, accounts...)
}

// newHouseOn is newHouse on a disk that may fill.
func newHouseOn(t *testing.T, keep func(clock.Clock) *space.Reserve, accounts ...string) *house {
	t.Helper()
	h := &house{t: t, clock: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	var room *space.Reserve
	if keep != nil {
		room = keep(h.clock)
	}
	dir := t.TempDir()
	db, err := pebble.Open(filepath.Join(dir, "index"), pebble.Options{})
	h.must(err)
	bodies, err := segment.Open(filepath.Join(dir, "bodies"), segment.Options{Space: room})
	h.must(err)
	h.bodies = bodies
	counts := refs.New(bodies)
	log := slog.New(slog.DiscardHandler)
	story := journal.Open(db, h.clock, log, func(e *journal.Event) {
		h.mu.Lock()
		h.events = append(h.events, *e)
		h.mu.Unlock()
	})
	h.mailboxes, err = mailbox.Open(db, bodies, counts, mailbox.Options{Clock: h.clock})
	h.must(err)
	h.directory, err = directory.Open(t.Context(), db, directory.Options{
		Clock: h.clock, Bodies: bodies, Counts: counts, OnCreate: h.mailboxes.CreateTx, ScramIterations: 4096,
	})
	h.must(err)
	t.Cleanup(func() {
		h.must(h.mailboxes.Close())
		h.must(h.directory.Close())
		h.must(bodies.Close())
		h.must(db.Close())
	})
	h.in = New(Options{
		DB: &meanwhile{db, h}, Counts: counts, Mailboxes: h.mailboxes, Directory: h.directory, Queue: h, Journal: story,
		Clock: h.clock, Log: log, Hostname: "mx.house.test", Space: room,
	})
	_, err = h.directory.AddDomain(t.Context(), "example.test")
	h.must(err)
	for _, a := range accounts {
		_, err := h.directory.AddAccount(t.Context(), addr(a), "correct horse")
		h.must(err)
	}
	return h
}

// meanwhile is the store as the intake has it: others come first, when a test says so.
type meanwhile struct {
	kv.Store
	h *house
}

func (m *meanwhile) Update(ctx context.Context, parts kv.Partitions, fn func(kv.Tx) error) error {
	if do := m.h.meanwhile; do != nil {
		m.h.meanwhile = nil
		do()
	}
	return m.Store.Update(ctx, parts, fn)
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func addr(s string) smtp.Address {
	var a smtp.Address
	if err := a.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return a
}

func (h *house) alias(from string, to ...string) {
	h.t.Helper()
	a := directory.Alias{Address: addr(from)}
	for _, s := range to {
		a.Targets = append(a.Targets, addr(s))
	}
	h.must(h.directory.SetAlias(h.t.Context(), a))
}

// EnqueueTx is queue.Enqueuer.
func (h *house) EnqueueTx(kv.Tx, *queue.Message) error { return nil }

// Enqueued is queue.Enqueuer.
func (h *house) Enqueued(m *queue.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = append(h.sent, m)
}

// HeldFor is queue.Enqueuer: all that went to the queue and is not due.
func (h *house) HeldFor(a id.Account) (held queue.Holds) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.sent {
		if m.Envelope.Origin.Account == a && m.Envelope.HoldUntil.After(h.clock.Now()) {
			held.Messages, held.Octets = held.Messages+1, held.Octets+m.Size
		}
	}
	return held
}

// doorHandler is the intake as smtpd sees it.
type doorHandler struct{ *house }

func (d doorHandler) Mail(ctx context.Context, env *envelope.Envelope, size int64) error {
	env.Size = size
	return d.in.Mail(ctx, env)
}

func (d doorHandler) Rcpt(ctx context.Context, env *envelope.Envelope, r envelope.Rcpt) error {
	return d.in.Rcpt(ctx, env, r)
}

func (d doorHandler) Data(ctx context.Context, env *envelope.Envelope) (smtpd.Transfer, error) {
	t, err := d.in.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	return &doorTransfer{t, env}, nil
}

func (d doorHandler) Authenticator(netip.Addr, string) sasl.Authenticator { return nil }

type doorTransfer struct {
	*Transfer
	env *envelope.Envelope
}

func (t *doorTransfer) Commit(ctx context.Context) (smtpd.Outcome, error) {
	errs, err := t.Transfer.Commit(ctx, t.env.Origin.Door != "lmtp")
	return smtpd.Outcome{ID: t.env.ID, Rcpts: errs}, err
}

// client is a session at a door.
type client struct {
	t *testing.T
	c *textproto.Conn
}

// call opens a session; mode is smtpd.MX or smtpd.LMTP.
func (h *house) call(mode smtpd.Mode, unwanted ...string) *client {
	h.t.Helper()
	cfg := smtpd.Config{Door: "smtp", Mode: mode, Hostname: "mx.house.test"}
	hello := "EHLO client.test"
	if mode == smtpd.LMTP {
		cfg.Door, hello = "lmtp", "LHLO client.test"
	}
	cfg.Clock, cfg.NoSoliciting = h.clock, unwanted
	s := smtpd.New(cfg, doorHandler{h})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	h.t.Cleanup(func() {
		_ = s.Shutdown(context.Background())
		<-done
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	h.must(err)
	h.t.Cleanup(func() { conn.Close() })
	c := &client{h.t, textproto.NewConn(conn)}
	c.want(220)
	c.say(250, hello)
	return c
}

func (c *client) want(code int) string {
	c.t.Helper()
	_, text, err := c.c.ReadResponse(code)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

func (c *client) say(code int, line string) string {
	c.t.Helper()
	if err := c.c.PrintfLine("%s", line); err != nil {
		c.t.Fatal(err)
	}
	return c.want(code)
}

const letter = "From: Bob <bob@example.org>\r\nSubject: hello\r\nMessage-ID: <m1@example.org>\r\n\r\nthe text\r\n"

// send sends a message; the commands are MAIL and RCPT without the verbs.
func (c *client) send(mail string, rcpts ...string) {
	c.t.Helper()
	c.say(250, "MAIL FROM:"+mail)
	for _, r := range rcpts {
		c.say(250, "RCPT TO:"+r)
	}
	c.say(354, "DATA")
	c.say(250, strings.TrimSuffix(letter, "\r\n")+"\r\n.")
}

// inbox is what an account got, oldest first.
func (h *house) inbox(account string) [][]byte {
	h.t.Helper()
	a, err := h.directory.Account(h.t.Context(), addr(account))
	h.must(err)
	m, err := h.mailboxes.Account(h.t.Context(), a.ID)
	h.must(err)
	defer m.Release()
	box, err := m.Open(h.t.Context(), "INBOX")
	h.must(err)
	defer box.Close()
	var list [][]byte
	snap := box.Snapshot()
	for i := range snap.Len() {
		body, err := box.Body(h.t.Context(), snap.At(i))
		h.must(err)
		text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		h.must(err)
		h.must(body.Close())
		list = append(list, text)
	}
	return list
}

// dsn is a report taken apart.
type dsn struct {
	header   mail.Header
	id       id.ID
	text     string
	message  textproto.MIMEHeader
	rcpts    []textproto.MIMEHeader
	kind     string // of the third part
	original string
}

func (h *house) parse(raw []byte) *dsn {
	h.t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	h.must(err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		h.t.Fatalf("not a report: %s, %v\n%s", kind, err, raw)
	}
	local, _, _ := strings.Cut(strings.Trim(m.Header.Get("Message-ID"), "<>"), "@")
	d := &dsn{header: m.Header, id: id.ID(local)}
	r := multipart.NewReader(m.Body, params["boundary"])
	for i := 0; ; i++ {
		p, err := r.NextPart()
		if err == io.EOF {
			return d
		}
		h.must(err)
		body, err := io.ReadAll(p)
		h.must(err)
		switch i {
		case 0:
			d.text = string(body)
		case 1:
			groups := textproto.NewReader(bufio.NewReader(strings.NewReader(string(body) + "\r\n\r\n")))
			d.message, err = groups.ReadMIMEHeader()
			h.must(err)
			for {
				g, _ := groups.ReadMIMEHeader()
				if len(g) == 0 {
					break
				}
				d.rcpts = append(d.rcpts, g)
			}
		case 2:
			d.kind, d.original = p.Header.Get("Content-Type"), string(body)
		}
	}
}

// queued gives what went to the queue since the last call.
func (h *house) queued() []*queue.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.sent
	h.sent = nil
	return list
}

// text is a queued message, as the courier would send it.
func (h *house) text(m *queue.Message) []byte {
	h.t.Helper()
	body, err := h.bodies.Open(m.Body)
	h.must(err)
	defer body.Close()
	text, err := io.ReadAll(io.NewSectionReader(body, m.Skip, m.Size))
	h.must(err)
	return text
}

// story is the kinds of the events of a recipient.
func (h *house) story(to string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kinds []string
	for _, e := range h.events {
		if e.To == to {
			kind := string(e.Kind)
			if a := e.Detail["action"]; a != "" {
				kind += ":" + a
			}
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, " ")
}
