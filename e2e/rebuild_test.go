package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthouse/internal/nettest"
)

// An index that is lost or damaged is made again from the bodies.
func TestRebuild(t *testing.T) {
	for name, harm := range map[string]func(*testing.T, string){
		"Lost":    func(t *testing.T, index string) { mustDo(t, os.RemoveAll(index)) },
		"Damaged": damage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rebuild(t, harm)
		})
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// damage writes over a part of every file of the index.
func damage(t *testing.T, index string) {
	files, err := os.ReadDir(index)
	mustDo(t, err)
	for _, f := range files {
		path := filepath.Join(index, f.Name())
		b, err := os.ReadFile(path)
		mustDo(t, err)
		for i := len(b) / 4; i < len(b)/2; i++ {
			b[i] ^= 0x5a
		}
		mustDo(t, os.WriteFile(path, b, 0o600))
	}
}

const (
	alice = "alice@example.test"
	bob   = "bob@example.test"
)

func rebuild(t *testing.T, harm func(*testing.T, string)) {
	away := net.JoinHostPort("127.0.0.1", nettest.FreePorts(t, "127.0.0.1", 1)[0])
	h := NewHouse(t, "127.0.0.1", "mx.example.test",
		"---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+away+"\"\n", alice, bob)
	h.Run("", "alias", "add", "team@example.test", alice, bob)
	h.Start()
	before := live(t, h)
	h.Stop()
	harm(t, filepath.Join(h.Dir, "data", "index"))
	if _, errs, err := h.TryRun("", "verify"); err == nil {
		t.Error("verify finds nothing wrong with the index")
	} else {
		t.Logf("verify: %.300s", errs)
	}
	for _, command := range []string{"serve", "account list"} {
		if _, errs, err := h.TryRun("", strings.Fields(command)...); err == nil || !strings.Contains(errs, "posthouse rebuild") || strings.Count(errs, "\n") > 1 {
			t.Errorf("%s: %v %.1000s", command, err, errs)
		}
	}
	for range 2 { // the second as soon as somebody can type
		t.Logf("rebuild: %s", h.Run("", "rebuild"))
	}
	h.Verify()
	h.Start()
	after(t, h, before, away)
	h.Stop()
	h.Verify()
}

// lived is what the clients know of the house before the harm.
type lived struct {
	one, both, sent []byte
	epoch           string // UIDVALIDITY of alice's INBOX
}

// live lets everything happen that an index knows of.
func live(t *testing.T, h *House) (l lived) {
	send(t, h, bob, "one", alice)
	send(t, h, bob, "expunged", alice)
	send(t, h, bob, "flagged", alice)
	send(t, h, bob, "moved", alice)
	send(t, h, alice, "both", "team@example.test", "x@elsewhere.test", "y@elsewhere.test")
	l.one, l.both = h.Await(alice, "HEADER X-Token one"), h.Await(bob, "HEADER X-Token both")
	c, err := DialIMAP(h.Addr["imap"], alice)
	mustDo(t, err)
	defer c.Close()
	l.sent, l.epoch = letter(alice, "appended"), epochOf(t, c)
	for _, cmd := range []string{"CREATE Projects", "CREATE Empty", "SELECT INBOX"} {
		_, _, err := c.Cmd("%s", cmd)
		mustDo(t, err)
	}
	_, err = c.Append("Projects", `\Seen $Work`, l.sent)
	mustDo(t, err)
	for _, cmd := range []string{
		`UID STORE 2 +FLAGS.SILENT (\Deleted)`, "UID EXPUNGE 2", `UID STORE 3 +FLAGS (\Flagged)`, "UID MOVE 4 Projects",
	} {
		_, _, err := c.Cmd("%s", cmd)
		mustDo(t, err)
	}
	return l
}

// after checks what docs/operations.md promises of a rebuilt house.
func after(t *testing.T, h *House, l lived, away string) {
	if got := h.Await(alice, "HEADER X-Token one"); !bytes.Equal(got, l.one) {
		t.Errorf("the message changed: %.200q", got)
	}
	if got := h.Await(bob, "HEADER X-Token both"); !bytes.Equal(got, l.both) {
		t.Errorf("the message changed: %.200q", got)
	}
	h.Await(alice, "HEADER X-Token both")
	h.Await(alice, "HEADER X-Token moved")             // in the mailbox it arrived in
	h.Await(alice, "HEADER X-Token flagged UNFLAGGED") // without later flags
	if c, err := DialSMTP(h.Addr["submission"], ""); err != nil {
		t.Error(err)
	} else if _, err := c.Cmd(235, "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw=="); err == nil {
		t.Error("a wrong password logs in")
	}
	checkProjects(t, h, l)
	var entries []struct{ ID, To, State string }
	mustDo(t, json.Unmarshal([]byte(h.Run("", "queue", "list", "--json")), &entries))
	if len(entries) != 2 || entries[0].State != "held" || entries[1].State != "held" {
		t.Errorf("queue: %+v", entries)
	}
	// Operators let it go on.
	sink := NewSinkAt(t, away, Habits{})
	h.Run("", "queue", "release", "--all")
	awaitRelayed(t, h, sink, "both")
	// The house lives on: new mail gets new UIDs.
	send(t, h, bob, "new", alice, "team@example.test")
	h.Await(alice, "HEADER X-Token new")
	h.Await(bob, "HEADER X-Token new")
}

// epochOf is the UIDVALIDITY of INBOX.
func epochOf(t *testing.T, c *IMAP) string {
	t.Helper()
	all, _, err := c.Cmd("STATUS INBOX (UIDVALIDITY)")
	mustDo(t, err)
	for _, r := range all {
		if m := uidValidity.FindStringSubmatch(r.Text); m != nil {
			return m[1]
		}
	}
	t.Fatalf("no UIDVALIDITY: %v", all)
	return ""
}

// checkProjects looks for an appended message with the flags it came with. UIDs
// are counted anew, and clients are told so.
func checkProjects(t *testing.T, h *House, l lived) {
	t.Helper()
	c, err := DialIMAP(h.Addr["imap"], alice)
	mustDo(t, err)
	defer c.Close()
	if epoch := epochOf(t, c); epoch == l.epoch {
		t.Errorf("UIDVALIDITY is %s still", epoch)
	}
	_, _, err = c.Cmd("EXAMINE Projects")
	mustDo(t, err)
	found, _, err := c.Cmd("UID SEARCH HEADER X-Token appended SEEN KEYWORD $Work")
	mustDo(t, err)
	uids := uidsOf(found)
	if len(uids) != 1 {
		t.Fatalf("the appended message: %v", found)
	}
	if got := h.fetch(c, uids[0]); !bytes.Equal(got, l.sent) {
		t.Errorf("the appended message changed: %.200q", got)
	}
}

// awaitRelayed waits for an empty queue; token must have arrived.
func awaitRelayed(t *testing.T, h *House, sink *Sink, token string) {
	t.Helper()
	awaitTrue(t, "the queue to drain", func() bool {
		return strings.TrimSpace(h.Run("", "queue", "list", "--json")) == "[]"
	})
	if sink.Taken()[token] == 0 {
		t.Errorf("%s never arrived elsewhere", token)
	}
}
