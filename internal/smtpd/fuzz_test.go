package smtpd

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"posthouse/internal/smtp"
)

// FuzzSession gives a server anything for input. It must not fail, must end
// every transfer once, and must write nothing but replies. mode is the door, what
// becomes of bare line ends, and whether the client is a stranger.
func FuzzSession(f *testing.F) {
	f.Add(byte(0), []byte("EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"))
	f.Add(byte(1), []byte("EHLO x\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABwb3N0aG91c2U=\r\nMAIL FROM:<alice@example.test> SMTPUTF8 SIZE=5\r\nRCPT TO:<bob@example.test>\r\nBDAT 5\r\n12345BDAT 0 LAST\r\n"))
	f.Add(byte(2), []byte("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<broken@example.test>\r\nRCPT TO:<alice@example.test>\r\nBDAT 3 LAST\r\nabcRSET\r\nNOOP\r\n"))
	f.Add(byte(1), []byte("EHLO x\r\nAUTH LOGIN\r\nYQ==\r\n*\r\nAUTH SCRAM-SHA-256 =\r\n\r\nETRN x\r\nVRFY a\r\nHELP\r\n"))
	f.Add(byte(0), []byte("HELO x\r\nSTARTTLS\r\nEXPN\r\nBDAT 9\r\nxx"))
	f.Add(byte(1), []byte("EHLO x\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABwb3N0aG91c2U=\r\nVRFY grün SMTPUTF8\r\nEXPN staff\r\nMAIL FROM:<> HOLDFOR=5 BY=-1;NT MT-PRIORITY=-3 RET=FULL ENVID=a+3D BODY=BINARYMIME\r\nRCPT TO:<bob@example.test> NOTIFY=NEVER ORCPT=utf-8;\\x{FC} RRVS=2014-04-03T23:01:00Z;C\r\nDATA\r\nBDAT 1 LAST\r\n\x00"))
	f.Add(byte(0), []byte("EHLO x\r\nETRN @example.net\r\nETRN #q\r\nXCLIENT ADDR=IPV6:::1\r\nMAIL FROM:<> REQUIRETLS\r\nMAIL FROM:<> HOLDUNTIL=2026-03-01T12:00:00Z MT-PRIORITY=9\r\n"))
	f.Add(byte(18), []byte("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\na\n.\n\r.\r\r\n.\r\nNOOP\nRSET x\r\n"))
	f.Add(byte(12), []byte("EHLO x\nMAIL FROM:<>\nRCPT TO:<bob@example.test>\nBDAT 4\r\n\n.\n\rBDAT 1 LAST\r\n\n"))
	f.Fuzz(func(t *testing.T, mode byte, input []byte) {
		var logged bytes.Buffer
		h := &house{}
		s := New(Config{
			Hostname: "mx.example.test", Mode: Mode(mode % 3), Newlines: Newlines(mode / 3 % 3), AllowPlaintextAuth: true, Desk: h, ETRN: []string{"example.net"},
			Limits: Limits{MessageSize: 1000, Recipients: 5, Errors: 20, Idle: 20, UnknownRcpts: 5},
			Log:    slog.New(slog.NewTextHandler(&logged, nil)),
		}, h)
		client, server := net.Pipe()
		if mode/9%2 == 1 {
			server = fromAfar{server, netip.MustParseAddrPort("192.0.2.7:4321")}
		}
		if !s.start(server) {
			t.Fatal("server is closed")
		}
		replies := make(chan string, 1)
		go func() {
			all, _ := io.ReadAll(client)
			replies <- string(all)
		}()
		// Line by line, so that what must wait for a reply comes after it.
		for line := range bytes.Lines(input) {
			if _, err := client.Write(line); err != nil {
				break // the session is over
			}
		}
		client.Close()
		checkReplies(t, <-replies)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(logged.String(), "session failed") {
			t.Fatal(logged.String())
		}
		if n := len(h.all()) + h.refused() + h.aborts(); n != h.begun() {
			t.Fatalf("%d transfers began, %d ended", h.begun(), n)
		}
	})
}

// checkReplies parses what a server wrote; the last line may be cut off.
func checkReplies(t *testing.T, all string) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(all))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasSuffix(line, "\r\n") || len(line) < 6 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' {
			t.Fatalf("reply line %q", line)
		}
		if strings.ContainsAny(line[:len(line)-2], "\r\n\x00") {
			t.Fatalf("reply line %q", line)
		}
	}
}

// FuzzCommandLine gives the parsers of MAIL, RCPT and BDAT anything.
func FuzzCommandLine(f *testing.F) {
	f.Add("MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME")
	f.Add("RCPT TO:<@a,@b:\"x y\"@[IPv6:::1]>")
	f.Add("BDAT 18446744073709551616 LAST")
	f.Fuzz(func(t *testing.T, line string) {
		cmd, err := smtp.ParseCommand([]byte(line))
		if err != nil {
			return
		}
		if size, last, ok := parseBDAT(cmd.Arg); size < 0 && (last || ok) {
			t.Fatalf("%q: %d %v %v", line, size, last, ok)
		}
		if m, err := smtp.ParseMail(cmd.Arg); err == nil && strings.ContainsAny(m.Path.String(), "\r\n") {
			t.Fatalf("%q: %+v", line, m)
		}
	})
}
