package imapd

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/doortest"
	"posthouse/internal/mailbox"
)

// FuzzSession sends whatever it likes to a logged-in session. The server must
// come to an end by itself, with the session closed and no message harmed.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"b FETCH 1:* (FLAGS BODY[1] ENVELOPE BODYSTRUCTURE BINARY[2])\r\n", "b SEARCH OR (TEXT a) NOT UID 1:*\r\nc UID SEARCH RETURN (SAVE) ALL\r\nd FETCH $ UID\r\n",
		"b STORE 1 +FLAGS (\\Deleted x)\r\nc EXPUNGE\r\n", "b APPEND INBOX (\\Seen) {5+}\r\nabcde\r\nc COPY 1:* INBOX\r\n", "b IDLE\r\nDONE\r\n",
		"b CREATE a/b\r\nc RENAME a b\r\nd LIST \"\" * RETURN (STATUS (MESSAGES))\r\ne DELETE b/b\r\n", "b AUTHENTICATE PLAIN\r\n*\r\n", "b MOVE 1 Trash\r\nc CLOSE\r\n",
	} {
		f.Add([]byte(s))
	}
	store, _ := doortest.Store(f, f.TempDir(), clock.NewFake(now), 1<<20)
	srv := New(Config{Hostname: "fuzz", AllowPlaintext: true, MaxMessageSize: 1 << 16, Clock: testClock{}, Limits: Limits{MaxPerAccount: 1 << 20}}, people{store})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		server, other := net.Pipe()
		sess := newSession(srv, doortest.Loopback{Conn: server})
		done := make(chan struct{})
		go func() {
			defer close(done)
			sess.run()
		}()
		go io.Copy(io.Discard, other)
		other.SetDeadline(time.Now().Add(5 * time.Minute))
		io.WriteString(other, "a LOGIN alice secret\r\na1 SELECT INBOX\r\na2 APPEND INBOX {"+
			strconv.Itoa(len(nested))+"+}\r\n"+nested+"\r\n")
		other.Write(b)
		io.WriteString(other, "\r\nDONE\r\nzz LOGOUT\r\n")
		other.Close()
		select {
		case <-done:
		case <-time.After(6 * time.Minute):
			t.Fatal("the session does not end")
		}
		acct, err := store.Account(context.Background(), 1)
		must(t, err)
		defer acct.Release()
		if _, err := acct.Status(context.Background(), "INBOX"); err != nil {
			t.Fatal(err)
		}
		// Start again from an empty mailbox.
		box, err := acct.Open(context.Background(), "INBOX")
		must(t, err)
		defer box.Close()
		if box.Snapshot().Len() > 20 {
			_, err = box.Expunge(context.Background(), mailbox.UIDSet{{First: 1, Last: 1<<32 - 1}}, true)
			must(t, err)
		}
	})
}
