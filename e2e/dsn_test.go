package e2e

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// submit sends a letter with parameters of MAIL and RCPT, and gives its id.
func submit(t *testing.T, h *House, from, token, mail string, rcpts ...string) (id string) {
	t.Helper()
	return submitMessage(t, h, from, mail, letter(from, token), rcpts...)
}

// submitMessage is submit for any message.
func submitMessage(t *testing.T, h *House, from, mail string, msg []byte, rcpts ...string) (id string) {
	t.Helper()
	c, err := DialSMTP(h.Addr["submission"], from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func(code int, line string) {
		t.Helper()
		if _, err := c.Cmd(code, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	say(250, "MAIL FROM:<"+from+"> "+mail)
	for _, r := range rcpts {
		say(250, "RCPT TO:"+r)
	}
	say(354, "DATA")
	if _, err := c.conn.Write(DotStuff(msg)); err != nil {
		t.Fatal(err)
	}
	_, reply, err := c.text.ReadResponse(250)
	if err != nil {
		t.Fatal(err)
	}
	m := queuedAs.FindStringSubmatch(reply)
	if m == nil {
		t.Fatalf("reply without an id: %s", reply)
	}
	return m[1]
}

// hasFields checks that a report has lines like these.
func hasFields(t *testing.T, report []byte, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !regexp.MustCompile(`(?m)^` + l + `\r$`).Match(report) {
			t.Errorf("no line %q in\n%s", l, report)
		}
	}
}

// What a sender asked to be told of comes back to it, from whichever house it
// is known to; what it asked to be held is held.
func TestReportsOnTheWay(t *testing.T) {
	p := newPair(t)
	old := NewSinkAt(t, net.JoinHostPort(quickIP, p.port), Habits{Rcpt: func(to string, _ int) string {
		if to == "ghost@quick.test" {
			return "550 5.1.1 no ghosts here"
		}
		return ""
	}})
	p.south.Run("", "alias", "add", "team@south.test", "bob@south.test", "carol@south.test")

	// The other house delivers, expands, refuses: it says so itself.
	submit(t, p.north, "alice@north.test", "far", "RET=HDRS ENVID=far+2B1",
		"<bob@south.test> NOTIFY=SUCCESS ORCPT=rfc822;b@elsewhere.test", "<team@south.test> NOTIFY=SUCCESS,FAILURE", "<carol@south.test>")
	hasFields(t, p.north.Await("alice@north.test", `SUBJECT "Delivered: far"`),
		`Reporting-MTA: dns; mx\.south\.test`, `Original-Envelope-Id: far\+1`, `Received-From-MTA: dns; mx\.north\.test \(127\.[0-9.]+\)`,
		`Original-Recipient: rfc822; b@elsewhere\.test`, `Final-Recipient: rfc822; bob@south\.test`, `Action: delivered`, `Status: 2\.1\.5`,
		`Auto-Submitted: auto-replied`, `Return-Path: <>`)
	hasFields(t, p.north.Await("alice@north.test", `SUBJECT "Passed on: far"`),
		`Final-Recipient: rfc822; team@south\.test`, `Action: expanded`)

	// A host that knows nothing of reports: this house says that it has passed it on.
	id := submit(t, p.north, "alice@north.test", "old", "", "<x@quick.test> NOTIFY=SUCCESS,FAILURE", "<y@quick.test> NOTIFY=NEVER")
	hasFields(t, p.north.Await("alice@north.test", `SUBJECT "Passed on: old"`),
		`Reporting-MTA: dns; mx\.north\.test`, `Final-Recipient: rfc822; x@quick\.test`, `Action: relayed`, `Remote-MTA: dns; quick\.test`, `Final-Log-Id: `+id)
	events := awaitStory(t, p.north, id, "x@quick.test", "queued", "relayed", "reported")
	if d := events[2].Detail; d["action"] != "relayed" || d["dsn"] == "" {
		t.Errorf("%+v", d)
	}
	if old.Taken()["old"] != 1 {
		t.Errorf("%v", old.Taken())
	}

	// Nobody here by that name any more: the words, and the whole letter to one of our own.
	submit(t, p.north, "alice@north.test", "whole", "", "<nobody@south.test>")
	whole := p.north.Await("alice@north.test", `SUBJECT "Not delivered: whole"`)
	hasFields(t, whole, `Content-Type: message/rfc822`, `Action: failed`, `Status: 5\.1\.1`)
	if !strings.Contains(string(whole), "There is no such address there.") || !strings.Contains(string(whole), "X-Token: whole") {
		t.Errorf("%s", whole)
	}

	// Held for a second, for one here and one elsewhere.
	began := time.Now()
	id = submit(t, p.north, "alice@north.test", "held", "HOLDFOR=1", "<alice@north.test> NOTIFY=SUCCESS", "<bob@south.test>")
	awaitStory(t, p.north, id, "alice@north.test", "queued", "relayed")
	p.north.Await("alice@north.test", "HEADER X-Token held")
	p.south.Await("bob@south.test", "HEADER X-Token held")
	if took := time.Since(began); took < time.Second {
		t.Errorf("held for %v", took)
	}
	hasFields(t, p.north.Await("alice@north.test", `SUBJECT "Delivered: held"`), `Action: delivered`, `Arrival-Date: .*`, `Future-Release-Request: for;1`)
	// A report that is refused in its turn ends with the postmaster, who is alice.
	p.north.Run("", "alias", "add", "away@north.test", "nobody@south.test")
	c, err := DialSMTP(p.north.Addr["smtp"], "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send("ghost@quick.test", []string{"away@north.test"}, letter("ghost@quick.test", "ghost")); err != nil {
		t.Fatal(err)
	}
	last := p.north.Await("alice@north.test", `SUBJECT "For the postmaster"`)
	hasFields(t, last, `To: .*postmaster@mx\.north\.test.*`, `Final-Recipient: rfc822; ghost@quick\.test`, `Diagnostic-Code: smtp; 550 5\.1\.1 no ghosts here`)

	for _, h := range []*House{p.north, p.south} {
		h.Stop()
		h.Verify()
	}
}
