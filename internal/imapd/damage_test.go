package imapd

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/doortest"
	"posthouse/internal/logtest"
)

// TestLostBody has a disk that has lost a message in part and another entirely: the
// client hears that they are damaged, the operator whose they are, and the client
// can remove them.
func TestLostBody(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() })
	c := h.login("")
	c.appendMail("INBOX", "", simple)
	c.appendMail("INBOX", "", "Subject: two\r\n\r\nis lost\r\n")
	c.appendMail("INBOX", "", "Subject: three\r\n\r\nis lost\r\n")
	doortest.Lose(t, h.dir, "Subject: two")
	c.ok("SELECT INBOX")
	for _, items := range []string{"BODY.PEEK[]", "(ENVELOPE BODY.PEEK[TEXT])"} {
		c.talk("C: a FETCH 2:3 (RFC822.SIZE)\nS: * 2 FETCH ~\nS: * 3 FETCH ~\nS: a OK ~")
		lines, tagged := c.do("FETCH 1:* " + items)
		if !strings.HasPrefix(tagged, "NO [CORRUPTION] ") || !contains(lines, "line two") || contains(lines, "~lost~") {
			t.Errorf("%s: %q %q", items, lines, tagged)
		}
	}
	c.talk("C: a SEARCH TEXT line\nS: * SEARCH 1\nS: a OK ~")
	c.ok(`STORE 2:3 +FLAGS.SILENT (\Deleted)`)
	if lines := c.ok("EXPUNGE"); !contains(lines, "* 2 EXPUNGE") || contains(lines, "* 1 EXPUNGE") {
		t.Errorf("%q", lines)
	}
	lines := log.Lines(slog.LevelError)
	if len(lines) != 4 {
		t.Fatalf("logged %v", lines)
	}
	for i, l := range lines {
		want := fmt.Sprintf(`~account 1, mailbox "INBOX", UID %d, body 00000001/~`, 2+i%2)
		if err, _ := l.Attrs["err"].(string); l.Attrs["login"] != "alice" || !doortest.Glob(want, err) {
			t.Errorf("logged %v", l)
		}
	}
}

// TestDamagedBody flips a bit on the disk: the client gets what there is, for a
// refusal would bring it back for ever, and the operator hears of it.
func TestDamagedBody(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() })
	c := h.login("")
	c.appendMail("INBOX", "", simple)
	c.appendMail("INBOX", "", "Subject: two\r\n\r\nwas good\r\n")
	doortest.Flip(t, h.dir, "was good")
	c.ok("SELECT INBOX")
	c.ok("FETCH 1:2 (UID BODY.PEEK[HEADER])")
	if lines := log.Lines(slog.LevelError); len(lines) > 0 {
		t.Errorf("before it was read: %v", lines)
	}
	for i, items := range []string{"BODY.PEEK[]", "(BODY.PEEK[HEADER] BODY.PEEK[TEXT])"} {
		if lines := c.ok("FETCH 1:2 " + items); !contains(lines, "vas good") {
			t.Errorf("%s: %q", items, lines)
		}
		lines := log.Lines(slog.LevelError)
		if len(lines) != i+1 {
			t.Fatalf("%s: logged %v", items, lines)
		}
		if err, _ := lines[i].Attrs["err"].(string); !doortest.Glob(`~account 1, mailbox "INBOX", UID 2, body 00000001/~checksum~`, err) {
			t.Errorf("%s: logged %v", items, lines[i])
		}
	}
}
