package pop3d

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/doortest"
	"posthouse/internal/logtest"
)

// TestLostBody has a disk that has lost a message in part and another entirely: the
// client hears that this will not pass, the operator whose messages they are, and
// the client can remove them.
func TestLostBody(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() }, simple, "Subject: zwei Grüße\r\n\r\nis lost\r\n", "Subject: drei Grüße\r\n\r\nis lost\r\n")
	doortest.Lose(t, h.dir, "Subject: zwei")
	c := h.login()
	c.talk("C: LIST 2\nS: +OK 2 ~\nC: RETR 2\nS: -ERR [SYS/PERM] ~\nC: TOP 3 0\nS: -ERR [SYS/PERM] ~")
	if got := c.fetch("RETR 1"); got != simple {
		t.Errorf("the other is %q", got)
	}
	c.talk("C: DELE 2\nS: +OK ~\nC: DELE 3\nS: +OK ~\nC: QUIT\nS: +OK ~")
	if n := h.count(); n != 1 {
		t.Errorf("%d messages are left", n)
	}
	lines := log.Lines(slog.LevelError)
	if len(lines) != 2 {
		t.Fatalf("logged %v", lines)
	}
	for i, l := range lines {
		want := fmt.Sprintf(`~account 1, mailbox "INBOX", UID %d, body 00000001/~`, 2+i)
		if err, _ := l.Attrs["err"].(string); l.Attrs["login"] != "alice" || !doortest.Glob(want, err) {
			t.Errorf("logged %v", l)
		}
	}
}

// TestDamagedBody flips a bit on the disk: the client gets what there is, for a
// refusal would bring it back for ever, and the operator hears of it.
func TestDamagedBody(t *testing.T) {
	var log logtest.Log
	long := strings.Repeat("and more\r\n", 2*chunkSize/10)
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() }, simple, "Subject: zwei Grüße\r\n\r\nwas good\r\n"+long)
	doortest.Flip(t, h.dir, "was good")
	c := h.login()
	c.fetch("RETR 1")
	c.fetch("TOP 2 5")
	if got := c.fetch("RETR 2"); !strings.HasSuffix(got, "\r\n\r\nvas good\r\n"+long) {
		t.Errorf("got %.100q", got)
	}
	c.talk("C: QUIT\nS: +OK ~")
	lines := log.Lines(slog.LevelError)
	if len(lines) != 1 {
		t.Fatalf("logged %v", lines)
	}
	if err, _ := lines[0].Attrs["err"].(string); !doortest.Glob(`~account 1, mailbox "INBOX", UID 2, body 00000001/~checksum~`, err) {
		t.Errorf("logged %v", lines[0])
	}
}
