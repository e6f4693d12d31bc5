package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"posthouse/internal/status"
)

func TestLargeContent(t *testing.T) {
	var want bytes.Buffer
	for i := 0; want.Len() < 3<<20; i++ {
		fmt.Fprintf(&want, "line %d\r\n.dots..\r\n\r\n\x00\xff%s\r\n", i, strings.Repeat("long", i%2000))
	}
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	p.send(strings.ReplaceAll(want.String(), "\r\n.", "\r\n..") + ".\r\n")
	p.want("250")
	p.begin()
	body := want.Bytes()
	for len(body) > 0 {
		n := min(len(body), 100_001)
		last := ""
		if n == len(body) {
			last = " LAST"
		}
		p.send(fmt.Sprintf("BDAT %d%s\r\n%s", n, last, body[:n]))
		p.want("250 2.0.0")
		body = body[n:]
	}
	for i, m := range h.all() {
		if !bytes.Equal(m.body, want.Bytes()) {
			t.Errorf("message %d differs", i)
		}
	}
	if n := len(h.all()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestEmptyMessage(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	p.do(".", "250 2.0.0 Ok")
	p.begin()
	p.do("BDAT 0 LAST", "250 2.0.0 Ok")
	for _, m := range h.all() {
		if len(m.body) != 0 {
			t.Errorf("body %q", m.body)
		}
	}
}

func TestTooLarge(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Limits: Limits{MessageSize: 1000}}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	p.send(strings.Repeat("0123456789\r\n", 10_000) + ".\r\n")
	p.want("552 5.3.4")
	// The session goes on.
	p.begin()
	p.do("DATA", "354")
	p.send(strings.Repeat("x", 998) + "\r\n.\r\n")
	p.want("250")
	p.begin()
	p.send("BDAT 1001\r\n" + strings.Repeat("x", 1001))
	p.want("552 5.3.4")
	p.send("BDAT 5 LAST\r\nHELO\n")
	p.want("503 5.5.1")
	p.begin()
	p.send("BDAT 600\r\n" + strings.Repeat("x", 600))
	p.want("250")
	p.send("BDAT 600 LAST\r\n" + strings.Repeat("x", 600))
	p.want("552 5.3.4")
	p.do("MAIL FROM:<>", "250")
	if n := len(h.all()); n != 1 || h.aborts() != 3 {
		t.Errorf("%d messages, %d aborted", n, h.aborts())
	}
}

func TestEndlessMessage(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Limits: Limits{MessageSize: 1000}}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	block := strings.Repeat("0123456789abcde\n", 4<<10)
	var err error
	for i := 0; i < 4096 && err == nil; i++ {
		_, err = io.WriteString(p.conn, block)
	}
	if err == nil {
		t.Error("the server read 256 MB of a message of at most 1000 octets")
	}
}

func TestFailingTransfer(t *testing.T) {
	h := &house{failWrite: true}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	p.send("MAIL FROM:<x@y.test>\r\nQUIT\r\n.\r\nNOOP\r\n")
	p.want("452 4.3.1")
	p.want("250 2.0.0 Ok\r\n")
	p.begin()
	p.send("BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
	p.want("452 4.3.1")
	p.want("503 5.5.1")
	p.want("503 5.5.1")
	p.want("250 2.0.0 Ok\r\n")
	if h.aborts() != 2 || len(h.all()) != 0 {
		t.Errorf("%d aborted, %d messages", h.aborts(), len(h.all()))
	}
}

func TestDataRefused(t *testing.T) {
	h := &house{dataErr: errors.New("no room")}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "451 4.3.0")
	p.begin()
	p.send("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n")
	p.want("451 4.3.0")
	p.want("503 5.5.1")
	h.dataErr = status.New(421, 3, 2, "Going away")
	p.begin()
	p.do("DATA", "421 4.3.2")
	p.closed()
}

func TestChunks(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	// Chunks that nobody asked for are read all the same.
	p.do("EHLO x", "250")
	p.send("BDAT 6\r\nQUIT\r\n")
	p.want("503 5.5.1")
	p.do("MAIL FROM:<>", "250")
	p.send("BDAT 6 LAST\r\nQUIT\r\n")
	p.want("554 5.5.1")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.send("bdat 6\r\n.\r\n.\r\n")
	p.want("250 2.0.0 6 octets")
	p.do("DATA", "503 5.5.1")
	p.do("RCPT TO:<bob@example.test>", "503 5.5.1")
	p.do("MAIL FROM:<>", "503 5.5.1")
	p.do("NOOP", "250")
	p.do("BDAT 0", "250")
	p.do("BDAT 0 LAST", "250 2.0.0 Ok: queued")
	if m := only(t, h); string(m.body) != ".\r\n.\r\n" {
		t.Errorf("body %q", m.body)
	}
	// RSET throws the chunks away.
	p.begin()
	p.send("BDAT 1\r\nx")
	p.want("250")
	p.do("RSET", "250")
	p.do("BDAT 0 LAST", "503 5.5.1")
	if h.aborts() != 1 {
		t.Errorf("%d aborted", h.aborts())
	}
	p.do("BDAT 99999999999999999999", "501 5.5.4")
	p.closed()
}

func TestHangUpInContent(t *testing.T) {
	for _, content := range []string{"DATA\r\nhalf a mess", "DATA\r\nall but the end\r\n.", "BDAT 10 LAST\r\nhalf", "BDAT 1\r\nx"} {
		h := &house{}
		w := newWatcher()
		_, addr := serve(t, Config{Observer: w}, h)
		p := dial(t, addr)
		p.begin()
		if content, ok := strings.CutPrefix(content, "DATA\r\n"); ok {
			p.do("DATA", "354")
			p.send(content)
		} else {
			p.send(content)
		}
		p.conn.Close()
		if sum := <-w.ends; sum.End != "closed" || sum.Messages != 0 {
			t.Errorf("%q: session %+v", content, sum)
		}
		if len(h.all()) != 0 || h.aborts() != 1 {
			t.Errorf("%q: %d messages, %d aborted", content, len(h.all()), h.aborts())
		}
	}
}
