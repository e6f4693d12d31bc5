package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

// The addresses of a small Internet. All its hosts take mail on one port.
const (
	northIP  = "127.0.0.2"
	southIP  = "127.0.0.3"
	greyIP   = "127.0.0.4"
	slowIP   = "127.0.0.5"
	shakyIP  = "127.0.0.6"
	quickIP  = "127.0.0.7"
	nobodyIP = "127.0.0.9" // no host is there
)

// pair is two houses that find each other, and others, by MX.
type pair struct {
	north, south *House
	port         string
}

func newPair(t *testing.T) *pair {
	port := sharedPort(t, northIP, southIP, greyIP, slowIP, shakyIP, quickIP, nobodyIP)
	host := func(name string) []dns.MX { return []dns.MX{{Preference: 10, Host: name}} }
	resolver := nettest.ServeDNS(t, nettest.NewDNS(nettest.Records{
		MX: map[string][]dns.MX{
			"north.test": host("mx.north.test"),
			// The better of the two is dead.
			"south.test": {{Preference: 5, Host: "dead.south.test"}, {Preference: 10, Host: "mx.south.test"}},
			"grey.test":  host("mx.grey.test"),
			"slow.test":  host("mx.slow.test"),
			"shaky.test": host("mx.shaky.test"),
		},
		A: map[string][]string{
			"mx.north.test": {northIP}, "mx.south.test": {southIP}, "dead.south.test": {nobodyIP},
			"mx.grey.test": {greyIP}, "mx.slow.test": {slowIP}, "mx.shaky.test": {shakyIP},
			"quick.test": {quickIP}, // its own mail host
		},
	}))
	extra := fmt.Sprintf("---\n[dns]\nservers = [%q]\n[outbound]\nport = %s\nretry = \"1s\"\n", resolver, port)
	p := &pair{
		north: NewHouseAt(t, northIP, port, "mx.north.test", extra, "alice@north.test"),
		south: NewHouseAt(t, southIP, port, "mx.south.test", extra, "bob@south.test", "carol@south.test"),
		port:  port,
	}
	p.north.Start()
	p.south.Start()
	return p
}

// sharedPort is a port that is free on all of ips.
func sharedPort(t *testing.T, ips ...string) string {
	t.Helper()
	const tries = 50
	for range tries {
		port := nettest.FreePorts(t, ips[0], 1)[0]
		free := true
		for _, ip := range ips {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no port is free on all addresses")
	return ""
}

// event is a step of a story.
type event struct {
	Kind, To, Text string
	Code           int
	Detail         map[string]string
}

// trace is the story of a message as "posthouse message trace" tells it.
func trace(t *testing.T, h *House, message string) []event {
	t.Helper()
	var stories []struct{ Events []event }
	if err := json.Unmarshal([]byte(h.Run("", "message", "trace", "--json", message)), &stories); err != nil {
		t.Fatal(err)
	}
	if len(stories) != 1 {
		t.Fatalf("%d stories of %s", len(stories), message)
	}
	return stories[0].Events
}

// awaitStory waits until the story of a message has the kinds of event for a
// recipient, in this order and no others.
func awaitStory(t *testing.T, h *House, message, to string, kinds ...string) []event {
	t.Helper()
	deadline := time.Now().Add(clientTimeout)
	for {
		var found []event
		var names []string
		for _, e := range trace(t, h, message) {
			if e.To == to {
				found = append(found, e)
				names = append(names, e.Kind)
			}
		}
		if strings.Join(names, " ") == strings.Join(kinds, " ") {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the story for %s is %v, want %v\n%+v", message, to, names, kinds, found)
		}
		time.Sleep(20 * time.Millisecond) // polling another process
	}
}

var queuedAs = regexp.MustCompile(`queued as (\w+)`)

// send submits a message and gives its id. token is its X-Token and in its
// Message-ID.
func send(t *testing.T, h *House, from, token string, to ...string) (id string) {
	t.Helper()
	c, err := DialSMTP(h.Addr["submission"], from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := c.SendReply(from, to, letter(from, token))
	if err != nil {
		t.Fatal(err)
	}
	m := queuedAs.FindStringSubmatch(reply)
	if m == nil {
		t.Fatalf("reply without an id: %s", reply)
	}
	return m[1]
}

// letter is a message that holds what is often spoiled on the way.
func letter(from, token string) []byte {
	return []byte("From: <" + from + ">\r\nSubject: " + token + "\r\nX-Token: " + token + "\r\nMessage-ID: <" + token + "@client.test>\r\n" +
		"Date: Wed, 1 Jan 2025 12:00:00 +0000\r\n\r\n" + letterBody)
}

var letterBody = ".\r\n..\r\n\r\nna\xc3\xafve \t\r\n" + strings.Repeat("long ", 190) + "\r\n.\r\nend\r\n"

// receivedFields are the unfolded Received fields of a message, newest first.
func receivedFields(msg []byte) (fields []string) {
	head, _, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
	unfolded := regexp.MustCompile(`\r\n[ \t]+`).ReplaceAll(head, []byte(" "))
	for _, line := range strings.Split(string(unfolded), "\r\n") {
		if v, ok := strings.CutPrefix(line, "Received: "); ok {
			fields = append(fields, v)
		}
	}
	return fields
}

func mustMatch(t *testing.T, what, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("%s: %q does not match %q", what, text, pattern)
	}
}

// Two houses find each other by MX and exchange mail with TLS; between them and
// around them, other hosts have their habits.
func TestPair(t *testing.T) {
	p := newPair(t)
	t.Run("Exchange", p.exchange)
	t.Run("OneOfThree", p.oneOfThree)
	t.Run("Greylisting", p.greylisting)
	t.Run("HangUp", p.hangUp)
	t.Run("Slow", p.slow)
	t.Run("Internationalised", p.internationalised)
	for _, h := range []*House{p.north, p.south} {
		if out := h.Run("", "queue", "list", "--json"); strings.TrimSpace(out) != "[]" {
			t.Errorf("%s still has a queue: %s", h.IP, out)
		}
		h.Stop()
		h.Verify()
	}
}

// exchange is a letter, past a dead MX, and its answer.
func (p *pair) exchange(t *testing.T) {
	id := send(t, p.north, "alice@north.test", "there", "bob@south.test")
	got := p.south.Await("bob@south.test", "HEADER X-Token there")
	if want := letter("alice@north.test", "there"); !bytes.HasSuffix(got, want) {
		t.Errorf("the letter changed on the way:\n%q", got)
	}
	if !bytes.HasPrefix(got, []byte("Return-Path: <alice@north.test>\r\n")) || bytes.Count(got, []byte("Return-Path:")) != 1 {
		t.Errorf("Return-Path: %.100q", got)
	}
	fields := receivedFields(got)
	if len(fields) != 2 {
		t.Fatalf("Received fields: %q", fields)
	}
	mustMatch(t, "second hop", fields[0], `^from mx\.north\.test .*by mx\.south\.test .*with ESMTPS id \w+ .*TLS1\.3.*for <bob@south\.test>`)
	mustMatch(t, "first hop", fields[1], `^from client\.test .*by mx\.north\.test .*with ESMTPA id `+id+`\b`)

	relayed := awaitStory(t, p.north, id, "bob@south.test", "queued", "relayed")[1]
	if relayed.Detail["host"] != "mx.south.test" || relayed.Detail["addr"] != southIP+":"+p.port || !strings.HasPrefix(relayed.Detail["tls"], "TLS1.3") {
		t.Errorf("relayed: %+v", relayed)
	}
	// The next house's id is in its reply, so the story goes on over there.
	m := queuedAs.FindStringSubmatch(relayed.Text)
	if m == nil {
		t.Fatalf("the reply of the other house is not in the journal: %+v", relayed)
	}
	awaitStory(t, p.south, m[1], "bob@south.test", "delivered")
	awaitStory(t, p.south, "<there@client.test>", "bob@south.test", "delivered")

	id = send(t, p.south, "bob@south.test", "back", "alice@north.test")
	if want := letter("bob@south.test", "back"); !bytes.HasSuffix(p.north.Await("alice@north.test", "HEADER X-Token back"), want) {
		t.Error("the answer changed on the way")
	}
	awaitStory(t, p.south, id, "alice@north.test", "queued", "relayed")
}

// oneOfThree is a letter to three people, one of whom is not there.
func (p *pair) oneOfThree(t *testing.T) {
	id := send(t, p.north, "alice@north.test", "three", "bob@south.test", "nobody@south.test", "carol@south.test")
	for _, who := range []string{"bob@south.test", "carol@south.test"} {
		p.south.Await(who, "HEADER X-Token three")
		awaitStory(t, p.north, id, who, "queued", "relayed")
	}
	story := awaitStory(t, p.north, id, "nobody@south.test", "queued", "bounced", "suppressed", "reported")
	if b := story[1]; b.Code != 550 || b.Detail["enhanced"] != "5.1.1" {
		t.Errorf("bounced: %+v", b)
	}
	if b := story[1]; b.Detail["class"] != "bad-mailbox" || b.Detail["scope"] != "recipient" || b.Detail["action"] != "suppress" {
		t.Errorf("bounced: %+v", b.Detail)
	}
	if out := p.north.Run("", "suppression", "list"); !strings.Contains(out, "<nobody@south.test>") || !strings.Contains(out, "bad-mailbox") {
		t.Errorf("suppression list:\n%s", out)
	}
	p.north.Run("", "suppression", "remove", "nobody@south.test")
	if _, errs, err := p.north.TryRun("", "suppression", "remove", "nobody@south.test"); err == nil || !strings.Contains(errs, "not found") {
		t.Errorf("removed twice: %v %s", err, errs)
	}
	awaitStory(t, p.north, story[3].Detail["dsn"], "alice@north.test", "delivered")
	dsn := string(p.north.Await("alice@north.test", "FROM mailer-daemon"))
	for _, pattern := range []string{
		`^Return-Path: <>\r\n`,
		`(?m)^Content-Type: multipart/report;`,
		`(?m)^Reporting-MTA: dns; ?mx\.north\.test\r$`,
		`(?m)^Final-Recipient: rfc822; ?nobody@south\.test\r$`,
		`(?m)^Action: failed\r$`,
		`(?m)^Status: 5\.1\.1\r$`,
		`(?m)^Remote-MTA: dns; ?mx\.south\.test\r$`,
		`(?m)^Diagnostic-Code: smtp; ?550`,
		`(?m)^X-Token: three\r$`,
	} {
		mustMatch(t, "report", dsn, pattern)
	}
	if strings.Count(dsn, "Final-Recipient:") != 1 {
		t.Errorf("the report speaks of those who got it:\n%s", dsn)
	}
}

// greylisting is a host that asks strangers to come again.
func (p *pair) greylisting(t *testing.T) {
	grey := NewSinkAt(t, net.JoinHostPort(greyIP, p.port), Habits{Rcpt: func(_ string, n int) string {
		if n == 1 {
			return "451 4.7.1 Greylisted, come again"
		}
		return ""
	}})
	id := send(t, p.north, "alice@north.test", "grey", "someone@grey.test")
	story := awaitStory(t, p.north, id, "someone@grey.test", "queued", "attempted", "relayed")
	if a := story[1]; a.Code != 451 || a.Detail["enhanced"] != "4.7.1" || !strings.Contains(a.Text, "come again") {
		t.Errorf("attempted: %+v", a)
	}
	if n := grey.Taken()["grey"]; n != 1 {
		t.Errorf("taken %d times", n)
	}
}

// hangUp is a host that drops the connection within the first message.
func (p *pair) hangUp(t *testing.T) {
	shaky := NewSinkAt(t, net.JoinHostPort(shakyIP, p.port), Habits{HangUp: func(n int) bool { return n == 1 }})
	id := send(t, p.north, "alice@north.test", "shaky", "someone@shaky.test")
	story := awaitStory(t, p.north, id, "someone@shaky.test", "queued", "attempted", "relayed")
	if a := story[1]; a.Code/100 != 4 || a.Detail["host"] != "mx.shaky.test" {
		t.Errorf("attempted: %+v", a)
	}
	if n := shaky.Taken()["shaky"]; n != 1 {
		t.Errorf("taken %d times", n)
	}
}

// slow is a host that takes its time. Nobody else waits for it.
func (p *pair) slow(t *testing.T) {
	open := make(chan struct{})
	slow := NewSinkAt(t, net.JoinHostPort(slowIP, p.port), Habits{Slow: true, Open: open})
	NewSinkAt(t, net.JoinHostPort(quickIP, p.port), Habits{})
	id := send(t, p.north, "alice@north.test", "slow", "someone@slow.test", "someone@quick.test")
	awaitStory(t, p.north, id, "someone@quick.test", "queued", "relayed")
	awaitStory(t, p.north, id, "someone@slow.test", "queued")
	close(open)
	awaitStory(t, p.north, id, "someone@slow.test", "queued", "relayed")
	if n := slow.Taken()["slow"]; n != 1 {
		t.Errorf("taken %d times", n)
	}
}

// internationalised mail goes to a house that knows it, to an address in UTF-8,
// and is returned where the next host does not know it (RFC 6531).
func (p *pair) internationalised(t *testing.T) {
	const params = "SMTPUTF8 BODY=8BITMIME"
	NewSinkAt(t, net.JoinHostPort(greyIP, p.port), Habits{})
	p.south.Run("", "alias", "add", "\u03b2ob@south.test", "bob@south.test")
	msg := bytes.Replace(letter("alice@north.test", "utf8"), []byte("Subject: utf8"), []byte("Subject: \u03c0\u03b1\u03b8"), 1)
	id := submitMessage(t, p.north, "alice@north.test", params, msg, "<\u03b2ob@south.test>")
	awaitStory(t, p.north, id, "\u03b2ob@south.test", "queued", "relayed")
	got := p.south.Await("bob@south.test", "HEADER X-Token utf8")
	if !bytes.HasSuffix(got, msg) {
		t.Errorf("the letter changed on the way: %.400q", got)
	}
	mustMatch(t, "second hop", receivedFields(got)[0], `^from mx\.north\.test .*with UTF8SMTPS .*for <\x{3b2}ob@south\.test>`)

	id = submitMessage(t, p.north, "alice@north.test", params, msg, "<\u03b2@grey.test>")
	story := awaitStory(t, p.north, id, "\u03b2@grey.test", "queued", "bounced", "reported")
	mustMatch(t, "bounce", story[1].Detail["enhanced"], `^5\.6\.7$`)
	report := string(p.north.Await("alice@north.test", `SUBJECT "Not delivered" TEXT "X-Token: utf8"`))
	for _, pattern := range []string{
		`(?m)^Content-Type: message/global-delivery-status\b`,
		`(?m)^Final-Recipient: utf-8; ?\x{3b2}@grey\.test\r$`,
		`(?m)^Status: 5\.6\.7\r$`,
	} {
		mustMatch(t, "report", report, pattern)
	}
}
