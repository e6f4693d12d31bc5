package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// Bytes in are bytes out, over every way in and every way out.

const header = "From: <a@far.test>\r\nSubject: bytes\r\n\r\n"

// lineContents are messages that can travel by DATA: their line ends are CRLF.
func lineContents() map[string][]byte {
	rnd := rand.New(rand.NewPCG(7, 7))
	octets := make([]byte, 200_000)
	for i := range octets {
		for octets[i] = 0; octets[i] == 0 || octets[i] == '\r' || octets[i] == '\n'; {
			octets[i] = byte(rnd.Uint32())
		}
	}
	return map[string][]byte{
		"empty":       {},
		"header only": []byte("Subject: nothing else\r\n"),
		"no header":   []byte("\r\nonly a body\r\n"),
		"not a mail":  []byte("this is not a header\r\n: nor this\r\n\r\n"),
		"dots":        []byte(header + ".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n.\r\n"),
		"8-bit":       []byte(header + "za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 \xff\xfe\x80\r\n"),
		"octets":      append(append([]byte(header), octets...), "\r\n"...),
		"long line":   []byte(header + strings.Repeat("x", 1<<20) + "\r\n"),
		"many lines":  []byte(header + strings.Repeat("\r\n", 100_000)),
		"spaces":      []byte(header + "trailing \t \r\n\t\r\n \r\n"),
		"long header": []byte("X-Long: " + strings.Repeat("word ", 40_000) + "\r\n\r\nbody\r\n"),
	}
}

func TestBytesInAreBytesOut(t *testing.T) {
	b := NewHouse(t, "127.0.0.1", "b.test", "", "reader@b.test")
	b.Start()
	a := NewHouse(t, "127.0.0.1", "a.test",
		"---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+b.Addr["smtp"]+"\"\n", "reader@a.test", "writer@a.test")
	a.Start()
	contents := lineContents()
	for name, content := range contents {
		t.Run(name, func(t *testing.T) {
			box := "INBOX"
			for way, send := range map[string]func([]byte) error{
				"DATA": func(m []byte) error { return sendData(a.Addr["smtp"], "EHLO", "reader@a.test", m) },
				"BDAT": func(m []byte) error { return sendChunks(a.Addr["smtp"], "", "reader@a.test", m) },
				"LMTP": func(m []byte) error { return sendData(a.Addr["lmtp"], "LHLO", "reader@a.test", m) },
			} {
				if err := send(content); err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				comesOut(t, way, a, "reader@a.test", box, content)
			}
			appended(t, a, content)
			if !bytes.Contains(content, []byte("far.test")) { // a From of one's own is asked for
				if err := sendSubmission(a, "writer@a.test", "reader@b.test", content); err != nil {
					t.Fatalf("relay: %v", err)
				}
				comesOut(t, "relay", b, "reader@b.test", box, content)
			}
		})
	}
}

// TestOctetsOfEveryKind takes what DATA cannot carry: bare CR and LF, and an end
// without a line end, by BINARYMIME and by APPEND.
func TestOctetsOfEveryKind(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "a.test", "", "reader@a.test")
	h.Start()
	content := []byte(header)
	for i := range 4096 {
		content = append(content, byte(i%255+1))
	}
	content = append(content, "\n.\n\r.\r\r\n.\n\n.\r\nlast without an end"...)
	if err := sendChunks(h.Addr["smtp"], " BODY=BINARYMIME", "reader@a.test", content); err != nil {
		t.Fatal(err)
	}
	got := fetchLast(t, h, "reader@a.test", "INBOX")
	if !bytes.HasSuffix(got, content) {
		t.Error("BINARYMIME: other octets came out")
	}
	appended(t, h, content)
}

// TestFiftyMegabytes sends the largest message over every way in.
func TestFiftyMegabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("moves some hundreds of megabytes")
	}
	h := NewHouse(t, "127.0.0.1", "a.test", "", "reader@a.test")
	h.Start()
	content := make([]byte, 0, 50<<20)
	content = append(content, header...)
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(content) < cap(content)-80 {
		content = fmt.Appendf(content, "%016x%016x%016x%016x\r\n", rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
	}
	if err := sendData(h.Addr["smtp"], "EHLO", "reader@a.test", content); err != nil {
		t.Fatal(err)
	}
	comesOut(t, "DATA", h, "reader@a.test", "INBOX", content)
	appended(t, h, content)
	if err := sendData(h.Addr["smtp"], "EHLO", "reader@a.test", append(content, strings.Repeat("beyond\r\n", 500)...)); err == nil || !strings.Contains(err.Error(), "552") {
		t.Errorf("a message beyond the limit: %v, want 552", err)
	}
}

// sendData sends a message by DATA.
func sendData(addr, hello, to string, content []byte) error {
	c, err := dialText(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, line := range []string{hello + " client.test", "MAIL FROM:<a@far.test>", "RCPT TO:<" + to + ">"} {
		if _, err := c.Cmd(250, line); err != nil {
			return err
		}
	}
	if _, err := c.Cmd(354, "DATA"); err != nil {
		return err
	}
	return c.finish(DotStuff(content))
}

// sendChunks sends a message by BDAT in pieces of odd sizes.
func sendChunks(addr, params, to string, content []byte) error {
	c, err := dialText(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<a@far.test>" + params, "RCPT TO:<" + to + ">"} {
		if _, err := c.Cmd(250, line); err != nil {
			return err
		}
	}
	for size := 1; len(content) > size; size = size*7 + 1 {
		piece := append(fmt.Appendf(nil, "BDAT %d\r\n", size), content[:size]...)
		if err := c.finish(piece); err != nil {
			return err
		}
		content = content[size:]
	}
	return c.finish(append(fmt.Appendf(nil, "BDAT %d LAST\r\n", len(content)), content...))
}

func sendSubmission(h *House, from, to string, content []byte) error {
	c, err := DialSMTP(h.Addr["submission"], from)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Send(from, []string{to}, content)
}

// dialText connects and reads the greeting.
func dialText(addr string) (*SMTP, error) {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	c := newSMTP(conn)
	if _, _, err := c.text.ReadResponse(220); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// finish writes octets and wants 250.
func (c *SMTP) finish(octets []byte) error {
	c.conn.SetDeadline(time.Now().Add(clientTimeout))
	if _, err := c.conn.Write(octets); err != nil {
		return err
	}
	_, _, err := c.text.ReadResponse(250)
	return err
}

// comesOut waits for a message and compares it by IMAP and by POP3.
func comesOut(t *testing.T, way string, h *House, account, box string, content []byte) {
	t.Helper()
	got := fetchLast(t, h, account, box)
	if !endsWith(got, content) {
		t.Errorf("%s: other octets came out by IMAP (%d of them for %d)", way, len(got), len(content))
	}
	p, err := DialPOP3(h.Addr["pop3"], account)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stat, err := p.Cmd("STAT")
	if err != nil {
		t.Fatal(err)
	}
	var n, size int
	fmt.Sscan(stat, &n, &size)
	popped, err := p.Retrieve(n)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(popped, got) {
		t.Errorf("%s: POP3 and IMAP differ (%d and %d octets)", way, len(popped), len(got))
	}
	if _, err := p.Cmd(fmt.Sprintf("DELE %d", n)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Cmd("QUIT"); err != nil {
		t.Fatal(err)
	}
}

// endsWith reports whether got is content behind trace fields.
func endsWith(got, content []byte) bool {
	trace, ok := bytes.CutSuffix(got, content)
	if !ok || !bytes.HasPrefix(trace, []byte("Return-Path:")) {
		return false
	}
	for line := range bytes.Lines(trace) {
		folded := line[0] == '\t' || line[0] == ' '
		if !folded && !bytes.HasPrefix(line, []byte("Return-Path: ")) && !bytes.HasPrefix(line, []byte("Received: ")) &&
			!bytes.HasPrefix(line, []byte("Date: ")) && !bytes.HasPrefix(line, []byte("Message-ID: ")) { // RFC 6409 section 8
			return false
		}
	}
	return true
}

// fetchLast waits for a message in a mailbox that was empty and reads it.
func fetchLast(t *testing.T, h *House, account, box string) []byte {
	t.Helper()
	c, err := DialIMAP(h.Addr["imap"], account)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(clientTimeout); ; {
		if _, _, err := c.Cmd("SELECT %q", box); err != nil {
			t.Fatal(err)
		}
		list, _, err := c.Cmd("FETCH * BODY.PEEK[]")
		for _, r := range list { // news of others may come between
			if err == nil && len(r.Literals) == 1 {
				return r.Literals[0]
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no message in %s of %s", box, account)
		}
		time.Sleep(5 * time.Millisecond) // polling another process
	}
}

// appended puts a message into a mailbox and reads it back.
func appended(t *testing.T, h *House, content []byte) {
	t.Helper()
	if len(content) == 0 {
		return // RFC 9051 section 6.3.12: an empty literal ends the APPEND
	}
	c, err := DialIMAP(h.Addr["imap"], "reader@a.test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Append("Archive", "", content); err != nil {
		t.Fatal(err)
	}
	if got := fetchLast(t, h, "reader@a.test", "Archive"); !bytes.Equal(got, content) {
		t.Errorf("APPEND: other octets came out (%d for %d)", len(got), len(content))
	}
}
