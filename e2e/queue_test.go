package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"posthouse/internal/nettest"
)

// queued is what the tests read of a queue entry.
type queued struct {
	ID, To, State, Why, Via, Source string
	Attempts                        int
}

func (h *House) queue(selectors ...string) []queued {
	h.t.Helper()
	var list []queued
	if err := json.Unmarshal([]byte(h.Run("", append([]string{"queue", "list", "--json"}, selectors...)...)), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// Operators look into the queue, stop parts of it and send them another way, with
// a server and without one, and what they decided outlives a restart.
func TestQueueOperators(t *testing.T) {
	dead := net.JoinHostPort("127.0.0.1", nettest.FreePorts(t, "127.0.0.1", 1)[0])
	sink := NewSink(t, "127.0.0.1")
	h := NewHouse(t, "127.0.0.1", "mx.example.test",
		"---\n[[outbound.source]]\nname = \"main\"\naddress = [\"127.0.0.3\"]\n[[outbound.limit]]\nmatch = \"*\"\nconnections = 3\n"+
			"[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+dead+"\"\n", alice)
	h.Start()
	c, err := DialSMTP(h.Addr["submission"], alice)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 12 {
		to := fmt.Sprintf("u%d@d%d.test", i, i%3)
		if err := c.Send(alice, []string{to}, []byte("From: "+alice+"\r\nTo: "+to+"\r\nSubject: x\r\n\r\ntext "+to+"\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	awaitTrue(t, "the site is found dead", func() bool {
		return strings.Contains(h.Run("", "queue", "sites"), "connection refused")
	})
	if _, errs, err := h.TryRun("", "queue", "list", "--limit", "-1"); err == nil {
		t.Errorf("a list of less than nothing: %s", errs)
	}
	if list := h.queue("--domain", "d1.test"); len(list) != 4 || list[0].Source != "main" {
		t.Errorf("%+v", list)
	}
	var site struct {
		Sites []struct {
			Site, Source, Why string
			Ready, Max        int
		}
	}
	if err := json.Unmarshal([]byte(h.Run("", "queue", "sites", "--json")), &site); err != nil {
		t.Fatal(err)
	}
	if len(site.Sites) != 1 || site.Sites[0].Source != "main" || site.Sites[0].Max != 3 || site.Sites[0].Ready == 0 {
		t.Errorf("%+v", site)
	}
	untried := ""
	for _, e := range h.queue() {
		if e.Attempts == 0 {
			untried = e.ID
		}
	}
	if out := h.Run("", "queue", "show", untried); !strings.Contains(out, "nothing goes to its mail hosts") || !strings.Contains(out, "until") {
		t.Errorf("show: %s", out)
	}
	// The 250 of the transfer and the log name messages, not entries.
	message, _, _ := strings.Cut(untried, ".")
	if out := h.Run("", "queue", "show", message); !strings.Contains(out, "entry    "+untried+"\n") {
		t.Errorf("show of a message: %s", out)
	}
	for _, none := range []string{strings.Repeat("0", len(message)), message + ".7", "x"} {
		if _, errs, err := h.TryRun("", "queue", "show", none); err == nil || errs != "posthouse: "+none+": no such entry in the queue\n" {
			t.Errorf("show of nothing: %v %s", err, errs)
		}
	}
	h.Run("", "queue", "suspend", "--domain", "D0.test", "--why", "a try")
	if _, errs, err := h.TryRun("", "queue", "resume", "--domain", "d9.test"); err == nil || !strings.Contains(errs, "not suspended") {
		t.Errorf("resume of what goes: %v %s", err, errs)
	}
	if out := strings.TrimSpace(h.Run("", "queue", "reroute", "--to", "smtp://"+sink.Addr, "--all")); out != "12" {
		t.Errorf("rerouted %s", out)
	}
	h.Run("", "queue", "retry", "--all")
	awaitTrue(t, "all but the suspended domain has gone", func() bool { return len(h.queue()) == 4 })
	h.Stop()
	list := h.queue() // without a server
	if len(list) != 4 || list[0].Via != "smtp://"+sink.Addr || len(h.queue("--domain", "d0.test", "--recipient", list[1].To)) != 1 {
		t.Errorf("%+v", list)
	}
	if out := h.Run("", "queue", "sites"); !strings.Contains(out, "suspended: d0.test") || !strings.Contains(out, "a try") {
		t.Errorf("sites: %s", out)
	}
	h.Start()
	if list := h.queue("--state", "ready"); len(list) != 4 || !strings.Contains(list[0].Why, "suspended by an operator") {
		t.Errorf("%+v", list)
	}
	h.Run("", "queue", "resume", "--domain", "d0.test")
	awaitTrue(t, "the rest has gone", func() bool { return len(h.queue()) == 0 })
	h.Stop()
	h.Verify()
}
