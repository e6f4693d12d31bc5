package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Rules for replies and the level of the log change without a restart; a fault in
// the rules leaves those there were.
func TestReload(t *testing.T) {
	sink := NewSinkAt(t, "127.0.0.1:0", Habits{Rcpt: func(string, int) string { return "550 5.1.1 It is siesta" }})
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+sink.Addr+"\"\n", alice)
	h.Start()
	rules := filepath.Join(h.Dir, "rules.toml")
	doc, err := os.ReadFile(h.Config)
	if err != nil {
		t.Fatal(err)
	}
	const route = "[[outbound.route]]"
	changed := strings.Replace(string(doc), route, "[log]\nlevel = \"debug\"\n[outbound]\nrules = \""+rules+"\"\n"+route, 1)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(says string) {
		t.Helper()
		before := strings.Count(h.Log(), says)
		if err := syscall.Kill(h.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "the log to say "+says, func() bool { return strings.Count(h.Log(), says) > before })
	}
	send := func(to string) {
		t.Helper()
		c := dialed(t, h.Addr["submission"], alice)
		if err := c.Send(alice, []string{to}, []byte("From: "+alice+"\r\nTo: "+to+"\r\nSubject: x\r\n\r\ntext\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	send("one@far.test")
	awaitTrue(t, "the report of a refusal that nobody calls anything else", func() bool { return strings.Contains(h.Log(), "msg=bounced") })

	write(rules, "[[rule]]\nname = \"siesta\"\ntext = [\"siesta\"]\ncode = [\"5xx\"]\nclass = \"rate-limited\"\naction = \"retry\"\nsamples = [\"550 5.1.1 It is siesta\"]\n")
	write(h.Config, changed)
	reload("msg=reloaded")
	waiting := func(to string) func() bool {
		return func() bool {
			list := h.queue("--recipient", to)
			return len(list) == 1 && list[0].Attempts == 1 && list[0].State == "waiting"
		}
	}
	send("two@far.test")
	awaitTrue(t, "mail to wait for the end of the siesta", waiting("two@far.test"))
	if log := h.Log(); !strings.Contains(log, "level=DEBUG") || strings.Contains(log, "wait for a restart") {
		t.Errorf("%s", log)
	}

	write(rules, "[[rule]]\nname = \"siesta\"\nclass = \"weather\"\n")
	reload("rules for replies not reloaded")
	send("three@far.test")
	awaitTrue(t, "mail to wait by the old rules", waiting("three@far.test"))
}
