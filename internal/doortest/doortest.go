// Package doortest is what the tests of the IMAP and the POP3 door have in common:
// a real store, certificates, an observer to wait for, and trying clients.
package doortest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailbox"
	"posthouse/internal/nettest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Store is a store in dir with the accounts 1 and 2. It is closed when the test
// ends.
func Store(t testing.TB, dir string, c clock.Clock, maxMessageSize int64) (*mailbox.Store, kv.Store) {
	t.Helper()
	return StoreOn(t, dir, c, maxMessageSize, func(s blob.Store) blob.Store { return s })
}

// StoreOn is Store with bodies in what wrap makes of the body store.
func StoreOn(t testing.TB, dir string, c clock.Clock, maxMessageSize int64, wrap func(blob.Store) blob.Store) (*mailbox.Store, kv.Store) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "kv"), pebble.Options{})
	must(t, err)
	log, err := segment.Open(filepath.Join(dir, "blob"), segment.Options{})
	must(t, err)
	bodies := wrap(log)
	store, err := mailbox.Open(db, bodies, refs.New(bodies), mailbox.Options{Clock: c, MaxMessageSize: maxMessageSize})
	must(t, err)
	t.Cleanup(func() {
		must(t, store.Close())
		must(t, db.Close())
		must(t, bodies.Close())
	})
	for _, acct := range []id.Account{1, 2} {
		must(t, db.Update(context.Background(), kv.Partitions{kv.AccountPartition(uint64(acct))}, func(tx kv.Tx) error {
			return store.CreateTx(tx, acct)
		}))
	}
	return store, db
}

// Lose takes a text, and all that lies behind it, from the bodies of the store in dir.
func Lose(t testing.TB, dir, text string) {
	t.Helper()
	name, at := findBody(t, dir, text)
	must(t, os.Truncate(name, at))
}

// Flip changes one bit of the first byte of a text in the bodies of the store in dir.
func Flip(t testing.TB, dir, text string) {
	t.Helper()
	name, at := findBody(t, dir, text)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{text[0] ^ 1}, at)
	must(t, err)
}

// findBody looks for a text in the files of the bodies.
func findBody(t testing.TB, dir, text string) (name string, at int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "blob", "*.seg"))
	must(t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(t, err)
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			return name, int64(i)
		}
	}
	t.Fatalf("no body has %q", text)
	return "", 0
}

// TLS makes a server's configuration with a certificate for localhost, and that of
// a client who trusts it.
func TLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert := nettest.SelfSigned(t, nettest.Leaf{Names: []string{"localhost"}})
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// Watcher is a listen.Observer that tests wait for.
type Watcher struct{ refused, ended chan string }

// NewWatcher has seen nothing.
func NewWatcher() Watcher { return Watcher{make(chan string, 100), make(chan string, 100)} }

// Opened is listen.Observer.
func (w Watcher) Opened(string) {}

// Refused is listen.Observer.
func (w Watcher) Refused(door, reason string) { w.refused <- door + " " + reason }

// Ended is listen.Observer.
func (w Watcher) Ended(door, reason string) { w.ended <- door + " " + reason }

// NextRefused waits for a client that is refused, and gives "door reason".
func (w Watcher) NextRefused() string { return <-w.refused }

// NextEnded waits for a session that has ended, and gives "door reason".
func (w Watcher) NextEnded() string { return <-w.ended }

// Loopback is a connection that says it comes from this machine.
type Loopback struct{ net.Conn }

// RemoteAddr is net.Conn.
func (Loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Trying is a client that says First, and then Then as often as Every; "" is
// nothing. It belongs into a bubble of testing/synctest.
type Trying struct {
	First, Then string
	Every       time.Duration
}

// Last talks to what start serves until that hangs up, and gives how long it took,
// more or less Every.
func (c Trying) Last(start func(net.Conn)) time.Duration {
	server, client := net.Pipe()
	began, over := time.Now(), make(chan struct{})
	start(Loopback{server})
	go func() {
		defer close(over)
		io.Copy(io.Discard, client)
	}()
	say := func(text string) {
		client.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(client, text)
	}
	say(c.First)
	for {
		select {
		case <-over:
			return time.Since(began)
		case <-time.After(c.Every):
			say(c.Then)
		}
	}
}

// Glob reports whether s is what pattern says, in which "~" stands for anything.
func Glob(pattern, s string) bool {
	re := strings.ReplaceAll(regexp.QuoteMeta(pattern), "~", ".*")
	return regexp.MustCompile("^" + re + "$").MatchString(s)
}
