package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of so many MB on dir. A user who may not is made
// root of a namespace of its own, in which the test runs again; false then.
func smallDisk(t *testing.T, dir string, mb int) bool {
	t.Helper()
	const inside = "POSTHOUSE_TEST_NAMESPACE"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mb))
	if err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		return true
	}
	if os.Getenv(inside) != "" || os.Getuid() == 0 {
		t.Skipf("no small file system can be mounted: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		t.Errorf("in a namespace: %v\n%s", err, out)
	case err != nil:
		t.Skipf("no small file system can be mounted: not root, and no namespaces: %v", err)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("in a namespace: %s", out)
	}
	return false
}

// filler sends messages over one connection until told to stop, whatever it is
// answered.
type filler struct {
	h    *House
	l    *ledger
	size int
	full atomic.Int64 // answers of 452
	went atomic.Int64 // messages
	busy sync.RWMutex // held while a message is neither waiting nor on record
}

func (f *filler) run(t *testing.T, to string, stop <-chan struct{}) {
	c, err := DialSMTP(f.h.Addr["smtp"], "")
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	body := strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", f.size/72)
	for {
		select {
		case <-stop:
			return
		default:
		}
		token := f.l.token()
		msg := "From: <a@client.test>\r\nSubject: filling\r\nX-Token: " + token + "\r\n\r\n" + body
		err := f.send(c, token, to, msg)
		var reply *textproto.Error
		switch {
		case err == nil:
			f.went.Add(1)
		case errors.As(err, &reply) && reply.Code == 452 && strings.HasPrefix(reply.Msg, "4.3.1"):
			f.full.Add(1)
			time.Sleep(20 * time.Millisecond) // a client's patience
		default:
			t.Errorf("on a full disk: %v", err) // the session ended, or another answer
			return
		}
		if _, err := c.Cmd(250, "RSET"); err != nil {
			t.Errorf("after %v: %v", reply, err)
			return
		}
	}
}

func (f *filler) send(c *SMTP, token, to, msg string) error {
	f.busy.RLock()
	defer f.busy.RUnlock()
	err := c.Send("a@client.test", []string{to}, []byte(msg))
	if err == nil {
		f.l.fileIn(token, to)
	}
	return err
}

func (h *House) readyz() (code int, text string) {
	res, err := http.Get("http://" + h.Addr["http"] + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// smallHouse starts a house with alice in it on a disk of so many MB; nil where
// the test runs elsewhere. store is more keys of that section.
func smallHouse(t *testing.T, mb int, store string) *House {
	t.Helper()
	if testing.Short() {
		t.Skip("fills a disk")
	}
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "---\n[store]\nreserve = \"64M\"\n"+store)
	if !smallDisk(t, h.data(), mb) {
		return nil
	}
	h.Run("", "domain", "add", Domain)
	h.Run(Password+"\n", "account", "add", "--password-stdin", alice)
	h.Start()
	return h
}

func (h *House) data() string { return filepath.Join(h.Dir, "data") }

// TestFullDisk fills the disk under a house, from within and from without. It
// refuses mail and goes on with all that needs no room, tells of it, loses
// nothing, makes room when people delete, and then takes mail again.
func TestFullDisk(t *testing.T) {
	h := smallHouse(t, 192, "segment = \"4M\"\nrecoverable = \"1h\"\n")
	if h == nil {
		return
	}
	l := newLedger()

	// From within: mail until there is no room, over sessions that stay.
	f := &filler{h: h, l: l, size: 300_000}
	stop := make(chan struct{})
	var load sync.WaitGroup
	defer load.Wait()
	end := sync.OnceFunc(func() { close(stop) })
	defer end()
	for range 3 {
		load.Go(func() { f.run(t, alice, stop) })
	}
	awaitTrue(t, "mail to be refused", func() bool { return f.full.Load() > 20 || t.Failed() })
	// The index gives room back now and then, for a moment: the load takes it again.
	awaitTrue(t, "readyz to tell of the full disk", func() bool {
		code, text := h.readyz()
		return code == 503 && strings.Contains(text, "no room for new mail")
	})
	h.awaitMetric("posthouse_disk_reserve_bytes 6.7108864e+07")
	checkHas(t, h, l, alice)

	stranger := dialed(t, h.Addr["smtp"], "")
	awaitTrue(t, "a stranger to be refused", func() bool {
		_, err := stranger.Cmd(452, "MAIL FROM:<a@client.test>")
		wants(t, stranger, [2]string{"RSET", "250"})
		return err == nil
	})
	c := imapIn(t, h, alice)
	awaitTrue(t, "APPEND to be refused", func() bool {
		_, err := c.Append("INBOX", "", []byte("Subject: x\r\n\r\nx\r\n"))
		if err != nil && !strings.Contains(err.Error(), "NO [UNAVAILABLE]") {
			t.Fatalf("APPEND on a full disk: %v", err)
		}
		return err != nil
	})
	for _, cmd := range []string{"COPY 1 Trash", `STORE 1 +FLAGS (\Flagged)`, "FETCH 1 BODY.PEEK[]", "MOVE 1 Trash"} {
		if _, _, err := c.Cmd("%s", cmd); err != nil {
			t.Errorf("in the reserve: %v", err)
		}
	}
	h.Run("", "alias", "add", "staff@"+Domain, alice)

	// From without: another program takes the rest, to the last block.
	ballast := filepath.Join(h.data(), "ballast")
	fillUp(t, ballast)
	turn := 0
	flag := func() error { // what is written is another thing each time
		_, _, err := c.Cmd(`STORE 1 %cFLAGS (\Answered)`, "+-"[turn%2])
		if err == nil {
			turn++
		}
		return err
	}
	awaitTrue(t, "the index to be refused", func() bool {
		err := flag()
		if err != nil && !strings.Contains(err.Error(), "NO [UNAVAILABLE]") {
			t.Fatalf("STORE on a full disk: %v", err)
		}
		return err != nil
	})
	fillUp(t, ballast+"2")
	if _, _, err := c.Cmd("FETCH 1 BODY.PEEK[]"); err != nil {
		t.Errorf("reading from a full disk: %v", err)
	}
	checkHas(t, h, l, alice)
	for _, name := range []string{ballast, ballast + "2"} {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
	awaitTrue(t, "the index to be written again", func() bool { return flag() == nil })

	// People make room, and mail comes again over the same sessions.
	f.busy.Lock() // or what comes now would be deleted, too, and be on record
	before := f.went.Load()
	l.note(func() { l.filed = map[string]map[string]bool{} }) // what came until here may go
	for _, cmd := range []string{`STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
		if _, _, err := c.Cmd("%s", cmd); err != nil {
			t.Errorf("in the reserve: %v", err)
		}
	}
	f.busy.Unlock()
	awaitTrue(t, "mail to be taken again", func() bool { return f.went.Load() > before+20 || t.Failed() })
	end()
	load.Wait()
	awaitTrue(t, "the house to be ready", func() bool { code, _ := h.readyz(); return code == 200 || f.full.Load() > 0 })
	h.Stop()
	begun, ended := strings.Count(h.Log(), "no room for new mail"), strings.Count(h.Log(), "room for new mail again")
	if begun == 0 || begun > 20 || ended == 0 || begun-ended > 1 {
		t.Errorf("told %d times that the disk is full and %d times that it is not", begun, ended)
	}
	h.Verify()
	h.Start()
	checkHas(t, h, l, alice)
	h.Stop()
	if t.Failed() {
		t.Logf("log of the server:\n%s", h.Log())
	}
}

// TestStartOnFullDisk starts a house, after a crash, on a disk without a free
// block: it serves what it has, and takes mail when there is room.
func TestStartOnFullDisk(t *testing.T) {
	h := smallHouse(t, 160, "")
	if h == nil {
		return
	}
	l := newLedger()
	send := func() error {
		token := l.token()
		c := dialed(t, h.Addr["smtp"], "")
		defer c.Close()
		err := c.Send("a@client.test", []string{alice}, []byte("Subject: x\r\nX-Token: "+token+"\r\n\r\n"+strings.Repeat("x\r\n", 10_000)))
		if err == nil {
			l.fileIn(token, alice)
		}
		return err
	}
	for range 100 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(h.data(), "ballast")
	awaitTrue(t, "the ballast", func() bool { _, err := os.Stat(ballast); return err == nil })
	h.Kill()
	other := filepath.Join(h.data(), "other")
	fillUp(t, other)

	h.start()
	awaitTrue(t, "the doors to open", func() bool { code, _ := h.readyz(); return code == 503 })
	checkHas(t, h, l, alice)
	var reply *textproto.Error
	if err := send(); !errors.As(err, &reply) || reply.Code != 452 {
		t.Errorf("mail on a full disk: %v", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the house to be ready", func() bool { code, _ := h.readyz(); return code == 200 })
	if err := send(); err != nil {
		t.Error(err)
	}
	awaitTrue(t, "another ballast", func() bool { _, err := os.Stat(ballast); return err == nil })
	checkHas(t, h, l, alice)
	h.Stop()
	h.Verify()
	if t.Failed() {
		t.Logf("log of the server:\n%s", h.Log())
	}
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	for len(b) > 0 {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			b = b[:len(b)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func imapIn(t *testing.T, h *House, login string) *IMAP {
	t.Helper()
	c, err := DialIMAP(h.Addr["imap"], login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, _, err := c.Cmd("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	return c
}

// checkHas looks for everything that was acknowledged.
func checkHas(t *testing.T, h *House, l *ledger, account string) {
	t.Helper()
	want := map[string]bool{}
	l.note(func() {
		for token, in := range l.filed {
			if in[account] {
				want[token] = true
			}
		}
	})
	c := imapIn(t, h, account)
	defer c.Close()
	for _, box := range []string{"INBOX", "Trash"} {
		if _, _, err := c.Cmd("EXAMINE %s", box); err != nil {
			t.Fatal(err)
		}
		all, _, err := c.Cmd("FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-Token)]")
		if err != nil && box == "INBOX" {
			t.Fatal(err)
		}
		for _, r := range all {
			for _, lit := range r.Literals {
				delete(want, strings.TrimSpace(strings.TrimPrefix(string(lit), "X-Token: ")))
			}
		}
	}
	for token := range want {
		t.Errorf("%s was acknowledged and is not there", token)
	}
}
