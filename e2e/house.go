// Package e2e drives the real binary from outside, as its users do: it builds
// posthouse, runs it on loopback ports with a store on a real disk, kills it,
// and talks to it over its own protocols.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"posthouse/internal/nettest"
)

// Domain is the domain of every test house unless it asks for another.
const Domain = "example.test"

// Password is the password of every test account.
const Password = "correct horse"

var built atomic.Bool // something is there to be removed

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "posthouse-e2e-")
	if err != nil {
		return "", err
	}
	built.Store(true)
	path := filepath.Join(dir, "posthouse")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "posthouse/cmd/posthouse")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// Binary builds posthouse once per test process and gives its path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// RemoveBinary deletes what Binary built; call it from TestMain.
func RemoveBinary() {
	if !built.Load() {
		return
	}
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
}

// House is one posthouse on an address of its own.
type House struct {
	t      testing.TB
	Dir    string
	IP     string // loopback address it listens on
	Config string // path of its configuration
	Addr   map[string]string

	mu  sync.Mutex
	cmd *exec.Cmd
	log *output
}

// output keeps what a process writes, also while it is read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// doors are the listeners of a test house.
var doors = []string{"smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "http"}

// NewHouse sets a house up on ip with accounts (addresses), not yet running.
// extra is more configuration, TOML: keys of the top, "---", sections.
func NewHouse(t testing.TB, ip, hostname, extra string, accounts ...string) *House {
	t.Helper()
	return NewHouseAt(t, ip, "", hostname, extra, accounts...)
}

// NewHouseAt is NewHouse with a port for the smtp door; "" is any that is free.
func NewHouseAt(t testing.TB, ip, port, hostname, extra string, accounts ...string) *House {
	t.Helper()
	h := &House{t: t, Dir: t.TempDir(), IP: ip, Addr: make(map[string]string)}
	h.Config = filepath.Join(h.Dir, "posthouse.toml")
	var b strings.Builder
	top, sections, _ := strings.Cut(extra, "---\n")
	fmt.Fprintf(&b, "hostname = %q\ndata = %q\n%s[listen]\n", hostname, filepath.Join(h.Dir, "data"), top)
	for i, free := range nettest.FreePorts(t, ip, len(doors)) {
		if port != "" && doors[i] == "smtp" {
			free = port
		}
		h.Addr[doors[i]] = net.JoinHostPort(ip, free)
		fmt.Fprintf(&b, "%s = [%q]\n", doors[i], h.Addr[doors[i]])
	}
	b.WriteString("[auth]\nallow_plaintext = true\n[limits]\ntrusted = [\"127.0.0.0/8\"]\n" + sections)
	if err := os.WriteFile(h.Config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		_, domain, _ := strings.Cut(a, "@")
		h.TryRun("", "domain", "add", domain)
		h.Run(Password+"\n", "account", "add", "--password-stdin", a)
	}
	t.Cleanup(h.Kill)
	return h
}

// TryRun runs a posthouse command against this house.
func (h *House) TryRun(stdin string, args ...string) (stdout, stderr string, err error) {
	h.t.Helper()
	cmd := exec.Command(Binary(h.t), append(args, "--config", h.Config)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Run is TryRun that must succeed.
func (h *House) Run(stdin string, args ...string) string {
	h.t.Helper()
	out, errs, err := h.TryRun(stdin, args...)
	if err != nil {
		h.t.Fatalf("posthouse %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// Start runs the server and waits until it is ready.
func (h *House) Start() {
	h.t.Helper()
	h.start()
	deadline := time.Now().Add(clientTimeout)
	for {
		if res, err := http.Get("http://" + h.Addr["http"] + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			h.Kill()
			h.t.Fatalf("the server is not ready\n%s", h.Log())
		}
		time.Sleep(5 * time.Millisecond) // polling another process
	}
}

// start runs the server.
func (h *House) start() {
	h.t.Helper()
	cmd := exec.Command(Binary(h.t), "serve", "--config", h.Config)
	log := new(output)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.cmd, h.log = cmd, log
	h.mu.Unlock()
}

// Kill is kill -9.
func (h *House) Kill() { _ = h.stop(syscall.SIGKILL) }

// Stop is SIGTERM; the server must end, with status 0.
func (h *House) Stop() {
	h.t.Helper()
	if err := h.stop(syscall.SIGTERM); err != nil {
		h.t.Fatalf("stop: %v\n%s", err, h.Log())
	}
}

func (h *House) stop(sig syscall.Signal) error {
	h.mu.Lock()
	cmd := h.cmd
	h.cmd = nil
	h.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if ctx.Err() == context.DeadlineExceeded {
			cmd.Process.Kill()
		}
	})()
	return cmd.Wait()
}

// Log is what the server has written to standard error since it started.
func (h *House) Log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.log == nil {
		return ""
	}
	return h.log.String()
}

// PID is the server's process number, 0 when it does not run.
func (h *House) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd == nil {
		return 0
	}
	return h.cmd.Process.Pid
}

// Await waits until the INBOX of login holds exactly one message that meets the
// SEARCH criteria, and gives it.
func (h *House) Await(login, criteria string) []byte {
	h.t.Helper()
	c, err := DialIMAP(h.Addr["imap"], login)
	if err == nil {
		defer c.Close()
		_, _, err = c.Cmd("EXAMINE INBOX")
	}
	deadline := time.Now().Add(clientTimeout)
	for err == nil && time.Now().Before(deadline) {
		var found []Response
		found, _, err = c.Cmd("UID SEARCH %s", criteria)
		uids := uidsOf(found)
		if len(uids) > 1 {
			h.t.Fatalf("%s: %d messages with %s", login, len(uids), criteria)
		}
		if len(uids) == 1 {
			return h.fetch(c, uids[0])
		}
		time.Sleep(10 * time.Millisecond) // polling another process
	}
	h.t.Fatalf("%s: no message with %s: %v", login, criteria, err)
	return nil
}

// awaitTrue polls until cond holds.
func awaitTrue(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(clientTimeout)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond) // polling another process
	}
}

// fetch is one message of the selected mailbox.
func (h *House) fetch(c *IMAP, uid string) []byte {
	h.t.Helper()
	all, _, err := c.Cmd("UID FETCH %s BODY.PEEK[]", uid)
	for _, r := range all { // news of others may come between
		if len(r.Literals) == 1 {
			return r.Literals[0]
		}
	}
	h.t.Fatalf("fetch %s: %v %v", uid, all, err)
	return nil
}

// uidsOf are the numbers of SEARCH responses.
func uidsOf(all []Response) (uids []string) {
	for _, r := range all {
		if rest, ok := strings.CutPrefix(r.Text, "* SEARCH"); ok {
			uids = append(uids, strings.Fields(rest)...)
		}
	}
	return uids
}

// Verify runs "posthouse verify" on the stopped house.
func (h *House) Verify() {
	h.t.Helper()
	if out, errs, err := h.TryRun("", "verify"); err != nil {
		h.t.Errorf("verify: %v\n%s%s", err, out, errs)
	}
}
