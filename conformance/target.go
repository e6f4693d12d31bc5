package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Target is a server under test and what a client has to know of it.
type Target struct {
	// Addr has an address "host:port" for each listener that is to be tested.
	Addr map[string]string
	// IMAP is where mail is read, "imap://host:port" or "imaps://host:port"; ""
	// when nobody looks at what was delivered.
	IMAP string

	User    string // an account that logs in and sends; its address
	Pass    string // of all accounts
	Local   string // another account
	Third   string // and another
	Unknown string // an address without an account in a domain of the server
	Remote  string // an address elsewhere

	Timeout time.Duration // for each reply; default 10 s
	Settle  time.Duration // until no more deliveries are expected
	// Known is the name of the server in notes: its known differences are no failures.
	Known string

	// dialer connects; nil is net.Dialer's way.
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (t *Target) dial(ctx context.Context, addr string) (net.Conn, error) {
	if t.dialer != nil {
		return t.dialer(ctx, "tcp", addr)
	}
	d := net.Dialer{Timeout: t.timeout()}
	return d.DialContext(ctx, "tcp", addr)
}

// variables that cases may use; see vars.
var variables = []string{"client", "user", "pass", "local", "third", "unknown", "remote", "from", "name", "domain", "token"}

func (t *Target) timeout() time.Duration {
	if t.Timeout == 0 {
		return 10 * time.Second
	}
	return t.Timeout
}

// vars are the values for one run of a case.
func (t *Target) vars(listener string) map[string]string {
	name, domain, _ := strings.Cut(t.Local, "@")
	v := map[string]string{
		"client": "client.test", "user": t.User, "pass": t.Pass, "local": t.Local, "third": t.Third, "unknown": t.Unknown,
		"remote": t.Remote, "from": t.Remote, "name": name, "domain": domain, "token": token(),
	}
	if strings.HasPrefix(listener, "submission") {
		v["from"] = t.User
	}
	return v
}

// token is a word that nobody else uses.
func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "tok" + hex.EncodeToString(b[:])
}

func (t *Target) dialogue(ctx context.Context, listener string) *dialogue {
	return &dialogue{
		ctx: ctx, target: t, listener: listener,
		scope: &scope{vars: t.vars(listener), now: time.Now()},
	}
}

// keywords are what a listener announces: in clear, with TLS and after a login.
type keywords map[string][]string

func (k keywords) add(ehlo map[string]string) {
	for name, params := range ehlo {
		k[name] = append(k[name], strings.Fields(params)...)
	}
}

// has reports whether a keyword is among them: "NAME", "NAME=value" or "!NAME".
func (k keywords) has(require string) bool {
	require, not := strings.CutPrefix(require, "!")
	name, value, valued := strings.Cut(require, "=")
	params, ok := k[name]
	if valued {
		ok = slices.Contains(params, value)
	}
	return ok != not
}

// probe asks a listener what it can do.
func (t *Target) probe(ctx context.Context, listener string) (keywords, error) {
	found := make(keywords)
	d := t.dialogue(ctx, listener)
	defer d.close()
	err := d.dial()
	step := func(do ...func(string) error) {
		for _, fn := range do {
			if err == nil {
				err = fn("")
			}
		}
		found.add(d.ehlo)
	}
	step(d.greet, d.hello)
	if found.has("STARTTLS") {
		step(d.startTLS)
	}
	if found.has("AUTH") && strings.HasPrefix(listener, "submission") {
		step(d.login, d.hello)
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", listener, t.Addr[listener], err)
	}
	return found, nil
}

// Announced asks every listener for its EHLO keywords, and gives them in order.
func (t *Target) Announced(ctx context.Context) (map[string][]string, error) {
	all := make(map[string][]string)
	for listener := range t.Addr {
		found, err := t.probe(ctx, listener)
		if err != nil {
			return nil, err
		}
		all[listener] = slices.Sorted(maps.Keys(found))
	}
	return all, nil
}
