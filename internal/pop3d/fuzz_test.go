package pop3d

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/doortest"
	"posthouse/internal/mailbox"
)

// FuzzSession sends whatever it likes to a logged-in session. The server must
// come to an end by itself, and delete nothing without DELE and QUIT.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"STAT\r\nLIST\r\nLIST 1\r\nUIDL\r\nUIDL 1\r\n", "RETR 1\r\nTOP 1 0\r\nTOP 1 1\r\nTOP 1 99999999999\r\n", "DELE 1\r\nRSET\r\nDELE 1\r\nQUIT\r\n",
		"CAPA\r\nLANG\r\nLANG en\r\nUTF8\r\nSTLS\r\nNOOP\r\n", "AUTH PLAIN\r\n*\r\nUSER \xff\r\n", "RETR 1 2\r\n\x00\r\n\n\n\r",
	} {
		f.Add([]byte(s), []byte(simple))
	}
	f.Add([]byte("TOP 1 1\r\nRETR 1\r\n"), []byte("a\n.\r\n.\nb\r"))
	store, _ := doortest.Store(f, f.TempDir(), clock.NewFake(now), 2<<20)
	srv := New(Config{Hostname: "fuzz", AllowPlaintext: true}, people{store})
	ctx := context.Background()
	acct, err := store.Account(ctx, 1)
	must(f, err)
	f.Cleanup(acct.Release)
	box, err := acct.Open(ctx, "INBOX")
	must(f, err)
	f.Cleanup(box.Close)
	f.Fuzz(func(t *testing.T, b, mail []byte) {
		if len(b)+len(mail) > 1<<14 || len(mail) == 0 {
			return
		}
		in, err := store.NewIncoming(ctx)
		must(t, err)
		_, err = in.Write(mail)
		must(t, err)
		_, err = acct.Append(ctx, "INBOX", in, 0, nil, now)
		must(t, err)
		converse(t, srv, b)
		upper := strings.ToUpper(string(b))
		if n := box.Snapshot().Len(); n != 1 && !(strings.Contains(upper, "DELE") && strings.Contains(upper, "QUIT")) {
			t.Fatalf("%d messages are left", n)
		}
		_, err = box.Expunge(ctx, mailbox.UIDSet{{First: 1, Last: 1<<32 - 1}}, true)
		must(t, err)
	})
}

// converse runs a session of alice who sends b, and checks the shape of what
// comes back.
func converse(t *testing.T, srv *Server, b []byte) {
	server, other := net.Pipe()
	sess := newSession(srv, doortest.Loopback{Conn: server}, doortest.Loopback{}.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sess.serve(false)
	}()
	var out bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(&out, other)
	}()
	other.SetDeadline(time.Now().Add(5 * time.Minute))
	io.WriteString(other, "USER alice\r\nPASS "+password+"\r\n")
	other.Write(b)
	other.Close()
	select {
	case <-done:
	case <-time.After(6 * time.Minute):
		t.Fatal("the session does not end")
	}
	<-read
	if !bytes.HasPrefix(out.Bytes(), []byte("+OK ")) {
		t.Fatalf("begins with %.40q", out.Bytes())
	}
}
