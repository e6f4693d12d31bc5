package server

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"posthouse/internal/config"
)

// Limits change for who comes after a reload, at every door.
func TestReloadLimits(t *testing.T) {
	s, addrs := houseUp(t, "[auth]\nallow_plaintext = true\n", "alice@example.test")
	before := dial(t, addrs["smtp"], false)

	changed := *s.cfg
	changed.Limits.Recipients, changed.Limits.AuthAttempts, changed.Limits.ConnectionsPerAddress = 200, 1, 2
	changed.SMTP.NoSoliciting = []string{"net.example:ADV"}
	s.Reload(&changed)
	if got := before.do("EHLO x", "250"); !strings.Contains(got, "RCPTMAX=1000") || strings.Contains(got, "SOLICITING") {
		t.Errorf("a session from before: %s", got)
	}
	after := dial(t, addrs["smtp"], false)
	if got := after.do("EHLO x", "250"); !strings.Contains(got, "RCPTMAX=200") || !strings.Contains(got, "NO-SOLICITING net.example:ADV") {
		t.Errorf("a session from after: %s", got)
	}
	after.do("MAIL FROM:<a@b.example> SOLICIT=net.example:ADV", "250")
	after.do("RCPT TO:<alice@example.test>", "550 5.7.1")
	heard(t, addrs["smtp"], "", "421 4.7.0 Too many connections from your address")
	heard(t, addrs["imap"], "a LOGIN alice@example.test x\r\n", "* BYE Too many failed logins")
	heard(t, addrs["pop3"], "USER alice@example.test\r\nPASS x\r\n", "-ERR [AUTH]")

	trusting, err := config.Parse("test", []byte("hostname = \"x\"\ndata = \"x\"\n[limits]\nconnections_per_address = 1\ntrusted = [\"127.0.0.0/8\"]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Reload(trusting)
	for door, greeting := range map[string]string{"smtp": "220 ", "imap": "* OK ", "pop3": "+OK "} {
		for range 3 {
			if line, err := bufio.NewReader(connect(t, addrs[door])).ReadString('\n'); err != nil || !strings.HasPrefix(line, greeting) {
				t.Errorf("%s: %q %v", door, line, err)
			}
		}
	}
}

// heard checks that a client that says something hears a line, and then the end.
func heard(t *testing.T, addr, say, want string) {
	t.Helper()
	conn := connect(t, addr)
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.Contains("\n"+string(all), "\n"+want) {
		t.Errorf("%s: %q, %v; want %q", say, all, err, want)
	}
}
