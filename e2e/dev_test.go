package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"posthouse/internal/nettest"
)

// dev is a running "posthouse dev" on ports of its own.
type dev struct {
	t     *testing.T
	tmp   string // where its temporary directory is
	cmd   *exec.Cmd
	lines *bufio.Scanner
	said  map[string]string // the rest of a line by its first word
}

// startDev runs "posthouse dev" and reads what it says until the first message has
// arrived.
func startDev(t *testing.T, args ...string) *dev {
	t.Helper()
	// Short, for the path of a socket must be.
	tmp, err := os.MkdirTemp("", "t m p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	d := &dev{t: t, tmp: tmp, said: make(map[string]string)}
	d.cmd = exec.Command(Binary(t), append([]string{"dev"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	for i, port := range nettest.FreePorts(t, "127.0.0.1", len(doors)) {
		d.cmd.Env = append(d.cmd.Env, "POSTHOUSE_LISTEN_"+strings.ToUpper(doors[i])+"=127.0.0.1:"+port)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() })
	d.lines = bufio.NewScanner(out)
	for d.said["delivered"] == "" && d.lines.Scan() {
		text := strings.TrimSpace(d.lines.Text())
		word, rest, _ := strings.Cut(text, "  ")
		if _, story, ok := strings.Cut(text, "  delivered  "); ok {
			word, rest = "delivered", story
		}
		if strings.Contains(text, " message trace ") {
			word, rest = "trace", text
		}
		if d.said[word] == "" {
			d.said[word] = strings.TrimSpace(rest)
		}
	}
	return d
}

// shell types a line as it was said.
func (d *dev) shell(line string) string {
	d.t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*")
	text, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, text)
	}
	return string(text)
}

// end stops it by a signal; its temporary directory must be gone.
func (d *dev) end(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
	for d.lines.Scan() {
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(err)
	}
	if left, err := filepath.Glob(d.tmp + "/*"); err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v %v", left, err)
	}
}

// What "posthouse dev" prints can be typed as it stands.
func TestDevCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	d := startDev(t)
	for _, step := range []string{
		"smtp", "accounts", "password", "send", "read", "submit", "caught", "connect", "commands", "transfer", "trace", "delivered",
	} {
		if d.said[step] == "" {
			t.Fatalf("nothing about %s in %q", step, d.said)
		}
	}
	d.shell(d.said["send"])
	if got := d.shell(d.said["read"]); !strings.Contains(got, "Subject: Welcome") {
		t.Errorf("the first message: %s", got)
	}
	if got := d.shell(strings.Replace(d.said["read"], "MAILINDEX=1", "MAILINDEX=2", 1)); !strings.Contains(got, "Subject: hello\r\n\r\nhi\r\n") {
		t.Errorf("the message sent: %s", got)
	}
	d.shell(d.said["submit"])
	if got := d.shell(d.said["caught"]); !strings.Contains(got, "for <somebody@example.com>") {
		t.Errorf("the message for elsewhere: %s", got)
	}
	if got := d.shell(d.said["trace"]); !strings.Contains(got, "delivered  to <alice@example.test>") {
		t.Errorf("the story: %s", got)
	}
	d.end(syscall.SIGTERM)
}

// The terminal's end is the house's. A configuration is read over what dev knows
// itself.
func TestDevHangup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.toml")
	if err := os.WriteFile(path, []byte("hostname = \"mail.example.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Where the tests run under nohup, so would dev, and a hangup be nothing to it;
	// what is caught here is as usual there.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	d := startDev(t, "--config", path)
	if !strings.Contains(d.said["connect"], "mail.example.test ESMTP") || d.said["read"] == "" {
		t.Errorf("%q", d.said)
	}
	d.end(syscall.SIGHUP)
}
