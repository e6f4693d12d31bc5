package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startFails runs serve on a configuration and wants one line that has the words,
// and nothing left behind in the data directory.
func startFails(t *testing.T, doc string, words ...string) {
	t.Helper()
	dir := t.TempDir()
	startFailsIn(t, dir, "data", doc, words...)
}

// startFailsIn is startFails with a data directory in dir.
func startFailsIn(t *testing.T, dir, name, doc string, words ...string) {
	t.Helper()
	path, data := filepath.Join(dir, "posthouse.toml"), filepath.Join(dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, "data = %q\n%s", name, doc), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, status := run(t, "", "serve", "--config", path)
	if status != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("status %d: %s", status, errs)
	}
	for _, w := range append(words, path+":") {
		if !strings.Contains(errs, w) {
			t.Errorf("no %q in %s", w, errs)
		}
	}
	if left, err := filepath.Glob(data + "/*"); err != nil || len(left) > 0 {
		t.Errorf("half started: %v %v", left, err)
	}
}

// What keeps a house from starting is one error with file, line and key.
func TestStartRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	startFails(t, fmt.Sprintf("[listen]\nsmtp = [\"127.0.0.1:0\"]\nimap = [\"127.0.0.1:0\",\n  %q]\n", l.Addr()), ":5:3: listen.imap[1]: ", "in use")
	startFails(t, "[tls]\nmode = \"files\"\ncert = \"c.pem\"\nkey = \"none.pem\"\n", ": tls.", "no such file")
	startFailsIn(t, t.TempDir(), strings.Repeat("long/", 30), "", ":1:8: data: no room for the admin socket")
	if os.Getuid() == 0 {
		startFails(t, "user = \"nobody-of-this-name\"\n", ":2:8: user: unknown user")
	}
}

// A second server on the same data says what is wrong.
func TestStartTwice(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	h.Start()
	// Without its socket a running house is found by its lock alone.
	if err := os.Remove(filepath.Join(h.Dir, "data", "admin.sock")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "posthouse.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "data = %q\n", filepath.Join(h.Dir, "data")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := run(t, "", "serve", "--config", path); status != 1 || !strings.Contains(errs, "another program has it open") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// With --data alone a house is found with the configuration that init wrote there.
func TestDataAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "house")
	if _, errs, status := run(t, "", "init", "--hostname", "mx.example.org", "--data", dir, "--account", "you@example.org"); status != 0 {
		t.Fatal(errs)
	}
	if out, errs, _ := run(t, "", "domain", "dns", "example.org", "--data", dir); !strings.Contains(out, "IN MX 10 mx.example.org.") {
		t.Errorf("records: %s%s", out, errs)
	}
	// When the configuration is lost, init makes it again for the house that is there;
	// when it cannot, it leaves none.
	config := filepath.Join(dir, "posthouse.toml")
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := run(t, "", "init", "--hostname", "mx.example.org", "--data", dir, "--account", "you@example.org"); status != 1 || !strings.Contains(errs, "exists already") {
		t.Errorf("status %d: %s", status, errs)
	}
	if _, err := os.Stat(config); err == nil {
		t.Error("init failed and left a configuration")
	}
	if out, errs, _ := run(t, "", "init", "--hostname", "mx.example.org", "--data", dir, "--account", "me@example.org"); !strings.Contains(out, "me@example.org") {
		t.Errorf("init for a house that is there: %s%s", out, errs)
	}
}

// Root binds the ports and is nobody from then on; what root does to the house
// later leaves nothing behind that nobody cannot use.
func TestPrivilegesDropped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has privileges to drop")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("there is no user nobody: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "lmtp.sock")
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "user = \"nobody\"\n")
	t.Setenv("POSTHOUSE_LISTEN_LMTP", "unix:"+socket)
	data := filepath.Join(h.Dir, "data")
	// The two directories above are the test's own: nobody must get through.
	for _, dir := range []string{h.Dir, filepath.Dir(h.Dir)} {
		mustDo(t, os.Chmod(dir, 0o755))
	}
	mayReach(t, nobody, h.Dir)
	for range 2 {
		h.Start()
		wantOwner(t, nobody.Uid, data, socket)
		h.Run("", "domain", "list")
		h.Stop()
		h.Run("", "domain", "add", fmt.Sprintf("d%d.test", os.Getpid()))
		h.Run("", "domain", "remove", fmt.Sprintf("d%d.test", os.Getpid()))
		h.Verify()
		wantOwner(t, nobody.Uid, data)
	}
}

// mayReach skips the test where a user cannot be taken on, as in some containers, or
// cannot get to dir, as below a home that is root's alone.
func mayReach(t *testing.T, u *user.User, dir string) {
	t.Helper()
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	mustDo(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	mustDo(t, err)
	cmd := exec.Command("/bin/sh", "-c", `cd "$1"`, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("%s cannot get to %s here: %v %s", u.Username, dir, err, out)
	}
}

// wantOwner wants everything below the paths to belong to a user id.
func wantOwner(t *testing.T, uid string, paths ...string) {
	t.Helper()
	for _, root := range paths {
		err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			if st := info.Sys().(*syscall.Stat_t); fmt.Sprint(st.Uid) != uid {
				t.Errorf("%s belongs to %d", path, st.Uid)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A house that is told to stop or to reload while it opens does so without complaint.
func TestSignalsAtStart(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	for range 5 {
		cmd := exec.Command(Binary(t), "serve", "--config", h.Config)
		log := new(bytes.Buffer)
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Ports are bound first.
		awaitTrue(t, "the ports", func() bool {
			c, err := net.Dial("tcp", h.Addr["http"])
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		cmd.Process.Signal(syscall.SIGHUP)
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "posthouse:") {
			t.Fatalf("%v: %s", err, log)
		}
	}
	h.Verify()
}

// Who is in the middle of a message when the house stops may end it; nobody else
// gets in.
func TestDrain(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	h.Start()
	conn, err := net.Dial("tcp", h.Addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(clientTimeout))
	c := textproto.NewConn(conn)
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	say := func(code int, line string) {
		t.Helper()
		if err := c.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadResponse(code); err != nil {
			t.Fatal(err)
		}
	}
	say(250, "HELO client.test")
	say(250, "MAIL FROM:<bob@client.test>")
	say(250, "RCPT TO:<alice@"+Domain+">")
	say(354, "DATA")
	stopped := make(chan error, 1)
	go func() { stopped <- h.stop(syscall.SIGTERM) }()
	awaitTrue(t, "the doors to close", func() bool {
		late, err := net.Dial("tcp", h.Addr["smtp"])
		if err == nil {
			late.Close()
		}
		return err != nil
	})
	say(250, "Subject: the last\r\n\r\nin time\r\n.")
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	h.Start()
	h.Await("alice@"+Domain, "SUBJECT \"the last\"")
}

// A host elsewhere that says nothing does not keep the house from stopping, and
// nothing counts as tried.
func TestStopLeavesDeafHosts(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	h := NewHouse(t, "127.0.0.1", "mx.example.test",
		"---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+deaf.Addr().String()+"\"\n", alice)
	h.Start()
	c, err := DialSMTP(h.Addr["submission"], alice)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send(alice, []string{"x@elsewhere.test"}, []byte("From: "+alice+"\r\n\r\ntext\r\n")); err != nil {
		t.Fatal(err)
	}
	called, err := deaf.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer called.Close()
	h.Stop()
	if strings.Contains(h.Log(), "cutting off") {
		t.Errorf("the house waited:\n%s", h.Log())
	}
	if list := h.queue(); len(list) != 1 || list[0].Attempts != 0 || list[0].State != "ready" {
		t.Errorf("%+v", list)
	}
}

// systemd hears when the house is open, and when it stops (Type=notify).
func TestSystemdNotified(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(clientTimeout))
	t.Setenv("NOTIFY_SOCKET", socket)
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	h.Start()
	h.Stop()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		buf := make([]byte, 256)
		n, err := l.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("%q, %v; want %s", buf[:n], err, want)
		}
	}
}
