package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func run(t *testing.T, stdin string, args ...string) (out, errs string, status int) {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// The exit status tells a mistake in the command line from a failure.
func TestExitStatus(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args   string
		status int
	}{
		{"version", 0},
		{"version x", 2},
		{"--help", 0},
		{"frobnicate", 2},
		{"domain", 2},
		{"domain frobnicate", 2},
		{"domain add", 2},
		{"domain add a.test b.test", 2},
		{"help domain add", 0},
		{"help frobnicate", 2},
		{"init --hostname mx --data " + none, 2},
		{"init --hostname 10.0.0.1 --data " + none, 2},
		{"domain list --frobnicate", 2},
		{"account quota alice@example.test lots --data " + none, 2},
		{"account owner alice@example.test soon --data " + none, 2},
		{"queue drop --data " + none, 2},
		{"queue drop --all --domain example.test --data " + none, 2},
		{"queue list --older-than soon --data " + none, 2},
		{"queue list --older-than 2d --data " + none, 1},
		{"queue drop --below --data " + none, 2},
		{"queue list --below --data " + none, 2},
		{"queue drop --state waiting --domain= --data " + none, 2},
		{"queue list --domain= --data " + none, 2},
		{"queue hold --sender= --priority low --data " + none, 2},
		{"queue retry --recipient= --data " + none, 2},
		{"queue release --id= --data " + none, 2},
		{"queue list --site= --data " + none, 2},
		{"queue list --source= --data " + none, 2},
		{"queue list --older-than= --data " + none, 2},
		{"queue drop --state= --data " + none, 2},
		{"queue drop --priority= --id x --data " + none, 2},
		{"queue suspend --domain= --site x --data " + none, 2},
		{"queue resume --site= --domain x --data " + none, 2},
		{"queue reroute --to smtp://h --domain= --data " + none, 2},
		{"queue reroute --to smtp://h:99999 --all --data " + none, 2},
		{"queue reroute --to smtp://:25 --all --data " + none, 2},
		{"queue reroute --to smtp://u:p@h/x --all --data " + none, 2},
		{"queue reroute --to smtp://u:p@[::1]:26 --all --data " + none, 1},
		{"queue reroute --to MX --all --data " + none, 1},
		{"domain list --data " + none, 1},
		{"serve --config " + none, 1},
	} {
		_, errs, status := run(t, "", strings.Fields(c.args)...)
		if status != c.status {
			t.Errorf("posthouse %s: status %d, want %d\n%s", c.args, status, c.status, errs)
		}
		if status == 1 && strings.Count(strings.TrimSpace(errs), "\n") > 0 {
			t.Errorf("posthouse %s: more than one line says why:\n%s", c.args, errs)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a command that failed left a data directory behind")
	}
}

// What init and domain add say comes next can be typed as it stands, whatever the
// directory is called.
func TestNextCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a house")
	said, errs, status := run(t, "", "init", "--hostname", "mx.example.org", "--data", dir)
	if status != 0 {
		t.Fatal(errs)
	}
	_, hint, _ := run(t, "", "domain", "add", "example.net", "--data", dir)
	_, dns, ok := strings.Cut(strings.TrimSpace(hint), "records: ")
	if out, err := exec.Command("sh", "-c", dns).CombinedOutput(); !ok || err != nil || !strings.Contains(string(out), "example.net. IN MX") {
		t.Errorf("%s: %v %s", hint, err, out)
	}
	_, start, ok := strings.Cut(said, "start it with:\n\n    ")
	start = strings.Replace(strings.TrimSpace(start), " serve ", " domain list ", 1) // its ports are not for tests
	if out, err := exec.Command("sh", "-c", start).CombinedOutput(); !ok || err != nil || !strings.Contains(string(out), "example.net") {
		t.Errorf("%s: %v %s", start, err, out)
	}
}

// Whoever asks for the version in the usual way gets what the command says.
func TestVersionFlag(t *testing.T) {
	want, _, _ := run(t, "", "version")
	if !strings.HasPrefix(want, "posthouse ") || strings.Count(want, "\n") != 1 {
		t.Errorf("version: %q", want)
	}
	if got, errs, status := run(t, "", "--version"); got != want || errs != "" || status != 0 {
		t.Errorf("--version: %q, %q, status %d, want %q", got, errs, status, want)
	}
}

// A password that is shown once and cannot be shown is a failure.
func TestResultsLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	for _, args := range []string{"version", "help domain", "domain dns " + Domain, "account passwd alice@" + Domain} {
		cmd := exec.Command(Binary(t), append(strings.Fields(args), "--config", h.Config)...)
		cmd.Stdout = full
		if cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("posthouse %s: %v", args, cmd.ProcessState)
		}
	}
}

// Ctrl-C ends a command that waits for a password to be typed.
func TestPasswordInterrupted(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	in, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typing.Close()
	cmd := exec.Command(Binary(t), "account", "passwd", "--password-stdin", "alice@"+Domain, "--config", h.Config)
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	// A byte that is gone has been read.
	if _, err := typing.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the command reads", func() bool { n, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ); return err == nil && n == 0 })
	cmd.Process.Signal(os.Interrupt)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v", cmd.ProcessState)
	}
}

// What a reply means can be asked without a house, also of rules of one's own.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("rules.toml", "[[rule]]\nname = \"siesta\"\ntext = [\"siesta\"]\nclass = \"rate-limited\"\naction = \"stop-site\"\npause = \"2h\"\nsamples = [\"550 It is siesta\"]\n")
	file := write("posthouse.toml", "hostname = \"mx.example.test\"\n[outbound]\nrules = \""+filepath.Join(dir, "rules.toml")+"\"\n")
	for _, tt := range []struct {
		args, want string
		status     int
	}{
		{"550 5.1.1 No such user", "class   bad-mailbox\nscope   recipient\naction  suppress\n", 0},
		{"550 siesta, no such user", "action  stop-site\npause   2h0m0s\nrule    siesta\n", 0},
		{"550-5.1.1 No such user\r\n550 5.1.1 is here\n", "class   bad-mailbox\n", 0},
		{"550-5.1.1 The account that you tried to reach", "action  suppress\n", 0},
		{"550-5.1.1 The account that you\n550-5.1.1 tried to reach has gone to\n\n550-5.1.1 its", "class   bad-mailbox\n", 0},
		{"550-No such 550-user, it is 550 siesta until 550 Mondays", "rule    siesta\n", 0},
		{`550-Nobody is here\r\n550 for it is siesta`, "rule    siesta\n", 0},
		{"550-No such\n   user\n550 is here", "class   bad-mailbox\n", 0},
		{"250 ok", "not a reply that refuses", 2},
		{"250-ok\n250-ok", "not a reply that refuses", 2},
		{"5501 siesta", "not a reply that refuses", 2},
		{"550_siesta", "not a reply that refuses", 2},
		{"-", "not a reply that refuses", 2},
		{"", "not a reply that refuses", 2},
	} {
		out, errs, status := run(t, "", "queue", "explain", "--config", file, tt.args)
		if status != tt.status || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: %d\n%s%s", tt.args, status, out, errs)
		}
	}
	if out, errs, _ := run(t, "", "queue", "explain", "--config", file, "--stage", "greeting", "554 5.7.1 go away"); !strings.Contains(out, "retry-elsewhere") {
		t.Errorf("%s%s", out, errs)
	}
	write("rules.toml", "[[rule]]\nname = \"x\"\nclass = \"weather\"\n")
	if _, errs, status := run(t, "", "queue", "explain", "--config", file, "550 x"); status != 1 || !strings.Contains(errs, "posthouse.toml:3") || !strings.Contains(errs, "weather") {
		t.Errorf("%d %s", status, errs)
	}
}

// A wrong configuration is one error with file, line and key.
func TestBadConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "posthouse.toml")
	if err := os.WriteFile(path, []byte("hostname = \"mx.example.test\"\n[limits]\nmessage_sise = \"1M\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, status := run(t, "", "serve", "--config", path)
	if status != 1 || !strings.Contains(errs, path+":3:") || !strings.Contains(errs, "limits.message_sise") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// What only shows when it is used is told with its place as well.
func TestUnusableConfiguration(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "posthouse.toml")
	for text, want := range map[string]string{
		"[listen]\nsmtp = [\"127.0.0.1:0\", \"" + taken.Addr().String() + "\"]\n":  ":4:24: listen.smtp[1]: ",
		"[listen]\nlmtp = [\"unix:/nonexistent/lmtp.sock\"]\n":                     ":4:9: listen.lmtp[0]: ",
		"[tls]\nmode = \"files\"\ncert = \"/none/c.pem\"\nkey = \"/none/k.pem\"\n": ":5:8: tls.cert: ",
	} {
		text = "hostname = \"mx.example.test\"\ndata = \"" + filepath.Join(dir, "data") + "\"\n" + text
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, errs, status := run(t, "", "serve", "--config", path)
		if status != 1 || !strings.Contains(errs, path+want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s\nstatus %d: %s", text, status, errs)
		}
	}
}

// A data directory belongs to one server.
func TestOneServer(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	h.Start()
	data := filepath.Join(h.Dir, "data")
	path := filepath.Join(t.TempDir(), "posthouse.toml")
	if err := os.WriteFile(path, []byte("hostname = \"mx.example.test\"\ndata = \""+data+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"serve", "--config", path},
		{"init", "--hostname", "mx.example.test", "--data", data, "--config", path + ".new"},
	} {
		_, errs, status := run(t, "", args...)
		if status != 1 || !strings.Contains(errs, "a server is running on "+data) {
			t.Errorf("%s: status %d: %s", args[0], status, errs)
		}
	}
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("init left a configuration file behind")
	}
}

// A file that a key names is missed before anything starts.
func TestNoClientCA(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	t.Setenv("POSTHOUSE_AUTH_CLIENT_CA", filepath.Join(h.Dir, "none.pem"))
	_, errs, status := run(t, "", "serve", "--config", h.Config)
	if status != 1 || !strings.Contains(errs, "auth.client_ca: ") || !strings.Contains(errs, "none.pem") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// The same commands work with a server and without one.
func TestCommands(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	check := func() {
		t.Helper()
		h.Run("", "domain", "add", "other.test")
		if _, errs, err := h.TryRun("", "domain", "add", "OTHER.test"); err == nil || !strings.Contains(errs, "exists") {
			t.Errorf("adding a domain twice: %v %s", err, errs)
		}
		password := strings.TrimSpace(h.Run("", "account", "add", "carol@other.test"))
		if len(password) < 20 {
			t.Errorf("made-up password %q", password)
		}
		h.Run("", "account", "quota", "carol@other.test", "5G")
		h.Run("", "account", "owner", "carol@other.test", "2019-05-01")
		h.Run("", "account", "passwd", "carol@other.test")
		h.Run("", "alias", "add", "team@other.test", "carol@other.test", "alice@"+Domain, "someone@elsewhere.test")
		h.Run("", "alias", "add", "@other.test", "carol@other.test")
		var accounts []struct {
			Address    string
			Quota      int64
			OwnerSince time.Time `json:"owner_since"`
		}
		if err := json.Unmarshal([]byte(h.Run("", "account", "list", "--json")), &accounts); err != nil {
			t.Fatal(err)
		}
		if len(accounts) != 2 || accounts[1].Address != "carol@other.test" || accounts[1].Quota != 5<<30 ||
			accounts[1].OwnerSince.Format(time.DateOnly) != "2019-05-01" || accounts[0].OwnerSince.IsZero() {
			t.Errorf("accounts: %+v", accounts)
		}
		var aliases []struct{ Address string }
		if err := json.Unmarshal([]byte(h.Run("", "alias", "list", "--json")), &aliases); err != nil {
			t.Fatal(err)
		}
		if len(aliases) != 2 {
			t.Errorf("aliases: %+v", aliases)
		}
		if dns := h.Run("", "domain", "dns", "other.test"); !strings.Contains(dns, "_domainkey.other.test.") || !strings.Contains(dns, "IN MX 10 mx.example.test.") {
			t.Errorf("records: %s", dns)
		}
		if _, _, err := h.TryRun("", "domain", "remove", "other.test"); err == nil {
			t.Error("a domain in use was removed")
		}
		if _, _, err := h.TryRun("", "message", "trace", "<nobody@nowhere>"); err == nil {
			t.Error("a message nobody sent has a story")
		}
		if out := h.Run("", "queue", "list", "--json"); strings.TrimSpace(out) != "[]" {
			t.Errorf("queue: %s", out)
		}
		h.Run("", "alias", "remove", "team@other.test")
		h.Run("", "alias", "remove", "@other.test")
		h.Run("", "account", "remove", "carol@other.test")
		h.Run("", "domain", "remove", "other.test")
	}
	check()
	h.Start()
	check()
	h.Stop()
	h.Verify()
}

// What an operator should know is said, whether the house runs or not.
func TestOperatorIsTold(t *testing.T) {
	deaf := "---\n[dns]\nservers = [\"127.0.0.1:1\"]\n" // nobody answers there
	h := NewHouse(t, "127.0.0.1", "mx.example.test", deaf, "alice@"+Domain)
	check := func() {
		t.Helper()
		_, errs, err := h.TryRun("", "alias", "add", "team@"+Domain, "alice@"+Domain, "alcie@"+Domain, "x@elsewhere.test")
		if err != nil || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "there is no alcie@"+Domain+" here") {
			t.Errorf("a target that is missing: %v %s", err, errs)
		}
		if out := h.Run("", "alias", "list"); !strings.Contains(out, "there is no alcie@"+Domain) {
			t.Errorf("aliases: %s", out)
		}
		if _, errs, err := h.TryRun("", "alias", "add", "team@"+Domain, "alice+x@"+Domain, "abuse@"+Domain); err != nil || errs != "" {
			t.Errorf("targets that are there: %v %s", err, errs)
		}
		if out := h.Run("", "route", Domain); !strings.Contains(out, "lives here") {
			t.Errorf("the way to a domain that lives here: %s", out)
		}
		var way struct{ Error string }
		out, _, err := h.TryRun("", "route", "elsewhere.test", "--json")
		if json.Unmarshal([]byte(out), &way) != nil || err == nil || way.Error == "" {
			t.Errorf("no way to a domain: %v %s", err, out)
		}
		if _, errs, err := h.TryRun("", "domain", "check", Domain); err == nil || !strings.Contains(errs, "is unknown") {
			t.Errorf("nothing was looked up: %v %s", err, errs)
		}
	}
	check()
	h.Start()
	check()
}

// Commands that are given at one time wait for each other, and for a server that
// starts.
func TestCommandsAtOnce(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			if _, errs, err := h.TryRun("", "account", "add", fmt.Sprintf("p%d@%s", i, Domain)); err != nil {
				t.Errorf("%v %s", err, errs)
			}
		})
	}
	all.Wait()
	all.Go(h.Start)
	for i := range 5 {
		all.Go(func() {
			if _, errs, err := h.TryRun("", "account", "remove", fmt.Sprintf("p%d@%s", i, Domain)); err != nil {
				t.Errorf("%v %s", err, errs)
			}
		})
	}
	all.Wait()
	if out := h.Run("", "account", "list"); strings.Count(out, "\n") != 2 {
		t.Errorf("accounts: %s", out)
	}
}
