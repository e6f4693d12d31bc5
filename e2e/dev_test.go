package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What "posthouse dev" prints can be typed as it stands.
func TestDevCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	tmp := t.TempDir()
	cmd := exec.Command(Binary(t), "dev")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	for i, port := range freePorts(t, "127.0.0.1", len(doors)) {
		cmd.Env = append(cmd.Env, "POSTHOUSE_LISTEN_"+strings.ToUpper(doors[i])+"=127.0.0.1:"+port)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	said := make(map[string]string) // the rest of a line by its first word
	lines := bufio.NewScanner(out)
	for said["delivered"] == "" && lines.Scan() {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), "  ")
		if _, story, ok := strings.Cut(lines.Text(), "  delivered  "); ok {
			word, rest = "delivered", story
		}
		if said[word] == "" {
			said[word] = strings.TrimSpace(rest)
		}
	}
	for _, step := range []string{"smtp", "accounts", "password", "send", "read", "connect", "commands", "transfer", "delivered"} {
		if said[step] == "" {
			t.Fatalf("nothing about %s in %q", step, said)
		}
	}
	shell := func(line string) string {
		t.Helper()
		text, err := exec.Command("sh", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, text)
		}
		return string(text)
	}
	shell(said["send"])
	if got := shell(said["read"]); !strings.Contains(got, "Subject: Welcome") {
		t.Errorf("the first message: %s", got)
	}
	if got := shell(strings.Replace(said["read"], "MAILINDEX=1", "MAILINDEX=2", 1)); !strings.Contains(got, "Subject: hello\r\n\r\nhi\r\n") {
		t.Errorf("the message sent: %s", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(tmp + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
