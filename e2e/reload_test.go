package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"posthouse/internal/nettest"
)

// Rules for replies and the level of the log change without a restart; a fault in
// the rules leaves those there were.
func TestReload(t *testing.T) {
	sink := NewSinkAt(t, "127.0.0.1:0", Habits{Rcpt: func(string, int) string { return "550 5.1.1 It is siesta" }})
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+sink.Addr+"\"\n", alice)
	h.Start()
	rules := filepath.Join(h.Dir, "rules.toml")
	doc := h.readConfig()
	const route = "[[outbound.route]]"
	changed := strings.Replace(doc, route, "[log]\nlevel = \"debug\"\n[outbound]\nrules = \""+rules+"\"\n"+route, 1)
	h.send("one@far.test")
	awaitTrue(t, "the report of a refusal that nobody calls anything else", func() bool { return strings.Contains(h.Log(), "msg=bounced") })

	h.write(rules, "[[rule]]\nname = \"siesta\"\ntext = [\"siesta\"]\ncode = [\"5xx\"]\nclass = \"rate-limited\"\naction = \"retry\"\nsamples = [\"550 5.1.1 It is siesta\"]\n")
	h.write(h.Config, changed)
	h.reload("msg=reloaded")
	waiting := func(to string) func() bool {
		return func() bool {
			list := h.queue("--recipient", to)
			return len(list) == 1 && list[0].Attempts == 1 && list[0].State == "waiting"
		}
	}
	h.send("two@far.test")
	awaitTrue(t, "mail to wait for the end of the siesta", waiting("two@far.test"))
	if log := h.Log(); !strings.Contains(log, "level=DEBUG") || strings.Contains(log, "wait for a restart") {
		t.Errorf("%s", log)
	}

	h.write(rules, "[[rule]]\nname = \"siesta\"\nclass = \"weather\"\n")
	h.reload("rules for replies not reloaded")
	h.send("three@far.test")
	awaitTrue(t, "mail to wait by the old rules", waiting("three@far.test"))
}

// Routes and what is asked of hosts change without a restart, also for mail that
// waits until its mail hosts can be reached.
func TestReloadRoutes(t *testing.T) {
	dead := net.JoinHostPort("127.0.0.1", nettest.FreePorts(t, "127.0.0.1", 1)[0])
	sink := NewSink(t, "127.0.0.1")
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "---\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+dead+"\"\n", alice)
	h.Start()
	h.send("one@far.test")
	awaitTrue(t, "the first attempt to fail", func() bool {
		list := h.queue()
		return len(list) == 1 && list[0].State == "waiting"
	})
	h.send("two@far.test")
	awaitTrue(t, "mail to wait for its dead site", func() bool {
		list := h.queue("--recipient", "two@far.test")
		return len(list) == 1 && strings.Contains(list[0].Why, "nothing goes to its mail hosts")
	})

	doc := h.readConfig()
	routed := strings.Replace(doc, dead, sink.Addr, 1)
	h.write(h.Config, routed)
	h.reload("msg=reloaded")
	awaitTrue(t, "what waited for the dead site to have gone the new way", func() bool { return len(h.queue("--recipient", "two@far.test")) == 0 })
	if got := h.Run("", "route", "far.test"); !strings.Contains(got, sink.Addr) || strings.Contains(h.Log(), "wait for a restart") {
		t.Errorf("the new way: %s\n%s", got, h.Log())
	}
	h.Run("", "queue", "retry", "--all")
	awaitTrue(t, "what waited for its next attempt to have gone", func() bool { return len(h.queue()) == 0 })

	h.write(h.Config, strings.Replace(doc, "[[outbound.route]]", "[[outbound.wrong]]", 1))
	h.reload("not reloaded")
	h.send("three@far.test")
	awaitTrue(t, "mail to go on by the last good configuration", func() bool { return len(sink.Taken()) == 3 })

	h.write(h.Config, routed+"\n[[outbound.tls]]\nmatch = \"127.0.0.1\"\npolicy = \"verify\"\n")
	h.reload("msg=reloaded")
	if got := h.Run("", "route", "far.test"); !strings.Contains(got, "verify, by verify") {
		t.Errorf("what is asked of hosts now: %s", got)
	}
}

func (h *House) readConfig() string {
	h.t.Helper()
	doc, err := os.ReadFile(h.Config)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(doc)
}

func (h *House) write(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// reload has the configuration read again, and waits for what the log says of it.
func (h *House) reload(says string) {
	h.t.Helper()
	before := strings.Count(h.Log(), says)
	if err := syscall.Kill(h.PID(), syscall.SIGHUP); err != nil {
		h.t.Fatal(err)
	}
	awaitTrue(h.t, "the log to say "+says, func() bool { return strings.Count(h.Log(), says) > before })
}

// send submits a message from alice.
func (h *House) send(to string) {
	h.t.Helper()
	c := dialed(h.t, h.Addr["submission"], alice)
	token := "X-Token: " + to + "\r\n"
	if err := c.Send(alice, []string{to}, []byte("From: "+alice+"\r\nTo: "+to+"\r\n"+token+"Subject: x\r\n\r\ntext\r\n")); err != nil {
		h.t.Fatal(err)
	}
}
