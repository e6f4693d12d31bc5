package intake

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/kv"
	"posthouse/internal/report"
	"posthouse/internal/smtpd"
	"posthouse/internal/status"
)

// one gives the only report that went to the queue, for a sender elsewhere.
func (h *house) one() *dsn {
	h.t.Helper()
	list := h.queued()
	if len(list) != 1 {
		h.t.Fatalf("%d messages to the queue", len(list))
	}
	m := list[0]
	if !m.Envelope.From.IsZero() || len(m.Rcpts) != 1 || m.Rcpts[0].To.String() != "bob@example.org" || m.Envelope.Ret != "" {
		h.t.Errorf("envelope %+v to %+v", m.Envelope, m.Rcpts)
	}
	return h.parse(h.text(m))
}

func (h *house) fields(d *dsn, rcpt int, want map[string]string) {
	h.t.Helper()
	if len(d.rcpts) <= rcpt {
		h.t.Fatalf("%d recipients in the report", len(d.rcpts))
	}
	for name, v := range want {
		if got := d.rcpts[rcpt].Get(name); got != v {
			h.t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

func TestDeliveredHere(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test")
	c := h.call(smtpd.MX)
	c.send("<bob@example.org> ENVID=E+2B1 RET=FULL", "<alice@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;al+2Bx@example.test", "<carol@example.test>")
	d := h.one()
	if len(d.rcpts) != 1 {
		t.Errorf("%d recipients: carol's was not asked for", len(d.rcpts))
	}
	h.fields(d, 0, map[string]string{
		"Original-Recipient": "rfc822; al+x@example.test", "Final-Recipient": "rfc822; alice@example.test",
		"Action": "delivered", "Status": "2.1.5", "Diagnostic-Code": "", "Remote-Mta": "",
	})
	if d.message.Get("Original-Envelope-Id") != "E+1" || d.message.Get("Received-From-Mta") != "dns; client.test (127.0.0.1)" || d.message.Get("Arrival-Date") == "" {
		t.Errorf("%v", d.message)
	}
	if d.header.Get("Auto-Submitted") != "auto-replied" || d.header.Get("In-Reply-To") != "<m1@example.org>" || d.kind != "text/rfc822-headers" {
		t.Errorf("%v, third part %s", d.header, d.kind)
	}
	if got := h.story("alice@example.test"); got != "delivered reported:delivered" {
		t.Errorf("story %q", got)
	}
	// NOTIFY=NEVER, FAILURE, and no sender: nothing.
	c.send("<bob@example.org>", "<alice@example.test> NOTIFY=NEVER", "<carol@example.test> NOTIFY=FAILURE,DELAY")
	c.send("<>", "<alice@example.test> NOTIFY=SUCCESS")
	if list := h.queued(); len(list) != 0 {
		t.Errorf("%d reports too many", len(list))
	}
	if n := len(h.inbox("alice@example.test")); n != 3 {
		t.Errorf("%d messages for alice", n)
	}
}

// An alias of one address is no event; its wishes go on with it.
func TestAliasOfOne(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.alias("al@example.test", "alice@example.test")
	h.alias("away@example.test", "al@elsewhere.net")
	c := h.call(smtpd.MX)
	c.send("<bob@example.org>", "<al@example.test> NOTIFY=SUCCESS")
	h.fields(h.one(), 0, map[string]string{
		"Original-Recipient": "rfc822; al@example.test", "Final-Recipient": "rfc822; alice@example.test", "Action": "delivered",
	})
	c.send("<bob@example.org> ENVID=x RET=HDRS", "<away@example.test> NOTIFY=SUCCESS,DELAY", "<away+x@example.test> ORCPT=rfc822;who@example.test")
	list := h.queued()
	if len(list) != 1 || len(list[0].Rcpts) != 1 {
		t.Fatalf("%+v", list)
	}
	if r := list[0].Rcpts[0]; r.To.String() != "al@elsewhere.net" || r.Notify != "SUCCESS,DELAY" || r.ORcpt != "rfc822;away@example.test" {
		t.Errorf("passed on as %+v", r)
	}
	if e := list[0].Envelope; e.EnvID != "x" || e.Ret != "HDRS" {
		t.Errorf("%+v", e)
	}
}

// RFC 3461 section 5.2.7.3 (c).
func TestAliasOfSeveralIsExpanded(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test")
	h.alias("team@example.test", "alice@example.test", "carol@example.test", "dave@elsewhere.net")
	c := h.call(smtpd.MX)
	c.send("<bob@example.org>", "<team@example.test> NOTIFY=SUCCESS,FAILURE", "<carol@example.test> NOTIFY=SUCCESS")
	list := h.queued()
	var on *envelope.Rcpt
	var reports []*dsn
	for _, m := range list {
		if m.Envelope.From.IsZero() {
			reports = append(reports, h.parse(h.text(m)))
		} else {
			on = &m.Rcpts[0].Rcpt
		}
	}
	if on == nil || on.Notify != "FAILURE" || on.ORcpt != "rfc822;team@example.test" || on.To.String() != "dave@elsewhere.net" {
		t.Errorf("passed on as %+v", on)
	}
	if len(reports) != 2 {
		t.Fatalf("%d reports", len(reports))
	}
	for _, d := range reports {
		want := map[string]string{"Action": "expanded", "Final-Recipient": "rfc822; team@example.test", "Status": "2.1.5"}
		if d.rcpts[0].Get("Action") == "delivered" {
			want = map[string]string{"Action": "delivered", "Final-Recipient": "rfc822; carol@example.test"}
		}
		h.fields(d, 0, want)
		if len(d.rcpts) != 1 {
			t.Errorf("%d recipients", len(d.rcpts))
		}
	}
	if got := h.story("team@example.test"); got != "reported:expanded" {
		t.Errorf("story %q", got)
	}
	if len(h.inbox("carol@example.test")) != 1 {
		t.Error("carol has it not once")
	}
}

// Who is refused after RCPT is reported, each member of an alias too; who asked
// not to hear does not.
func TestRefusedLate(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test")
	h.alias("team@example.test", "alice@example.test", "carol@example.test")
	h.must(h.directory.SetQuota(t.Context(), addr("carol@example.test"), 100))
	c := h.call(smtpd.MX)
	c.send("<bob@example.org> RET=FULL", "<alice@example.test>", "<team@example.test>")
	d := h.one()
	h.fields(d, 0, map[string]string{
		"Action": "failed", "Status": "5.2.2", "Original-Recipient": "rfc822; team@example.test", "Final-Recipient": "rfc822; carol@example.test",
	})
	if d.kind != "message/rfc822" || !strings.Contains(d.original, "the text") {
		t.Errorf("third part %s: %q", d.kind, d.original)
	}
	if got := h.story("carol@example.test"); got != "bounced reported:failed" {
		t.Errorf("story %q", got)
	}
	c.send("<bob@example.org>", "<alice@example.test>", "<team@example.test> NOTIFY=SUCCESS")
	h.fields(h.one(), 0, map[string]string{"Action": "expanded"})
	c.send("<bob@example.org>", "<alice@example.test>", "<carol@example.test> NOTIFY=NEVER")
	if list := h.queued(); len(list) != 0 {
		t.Errorf("%d reports too many", len(list))
	}
}

// LMTP answers for each recipient, but cannot for a part of one.
func TestLMTPReports(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test")
	h.alias("team@example.test", "alice@example.test", "carol@example.test")
	h.must(h.directory.SetQuota(t.Context(), addr("carol@example.test"), 100))
	c := h.call(smtpd.LMTP)
	c.say(250, "MAIL FROM:<bob@example.org>")
	c.say(250, "RCPT TO:<alice@example.test>")
	c.say(250, "RCPT TO:<carol@example.test>")
	c.say(354, "DATA")
	c.say(250, strings.TrimSuffix(letter, "\r\n")+"\r\n.")
	c.want(552)
	if list := h.queued(); len(list) != 0 {
		t.Errorf("%d reports for what the door has said", len(list))
	}
	c.send("<bob@example.org>", "<team@example.test>")
	h.fields(h.one(), 0, map[string]string{"Action": "failed", "Final-Recipient": "rfc822; carol@example.test"})
}

// Mail to the postmaster always arrives.
func TestPostmasterAlwaysArrives(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.must(h.directory.SetQuota(t.Context(), addr("alice@example.test"), 10))
	h.in.opt.IsHere = func(a netip.Addr) bool { return a == netip.MustParseAddr("2001:db8::25") }
	c := h.call(smtpd.MX)
	for i, to := range []string{
		"postmaster", "Postmaster@example.test", "postmaster+abc@EXAMPLE.test", "postmaster@mx.house.test",
		"Postmaster@[ipv6:2001:DB8::25]", "mailer-daemon@mx.house.test", "abuse@mx.house.test", "Abuse@example.test", "MAILER-DAEMON@example.test",
	} {
		if i == 5 {
			h.must(h.directory.SetQuota(t.Context(), addr("alice@example.test"), 0)) // those are nobody special
		}
		c.send("<bob@example.org>", "<"+to+">")
		if n := len(h.inbox("alice@example.test")); n != i+1 {
			t.Errorf("%s: %d messages", to, n)
		}
	}
	c.say(250, "MAIL FROM:<bob@example.org>")
	for _, house := range []string{"mx.house.test", "[IPv6:2001:db8::25]"} {
		if text := c.say(550, "RCPT TO:<alice@"+house+">"); !strings.HasPrefix(text, "5.1.1 ") {
			t.Errorf("alice@%s: %q", house, text)
		}
		// Our own people are told the same.
		env := h.submission("bob@" + house)
		if err := h.in.Rcpt(t.Context(), env, env.Rcpts[0]); err == nil || status.Of(err).Code != 550 || status.Of(err).Enhanced.Subject != 1 {
			t.Errorf("bob@%s by alice: %v", house, err)
		}
	}
	c.say(550, "RCPT TO:<postmaster@[IPv6:2001:db8::26]>")
	c.say(550, "RCPT TO:<mailer-daemon@elsewhere.net>")
}

// failing is a report that nobody was to get.
func (h *house) failing(to string) *report.DSN {
	return &report.DSN{
		Hostname: "mx.house.test", To: addr(to), Date: h.clock.Now(), Message: []byte(letter), Whole: true,
		Original: &envelope.Envelope{Received: h.clock.Now(), Priority: 3, RequireTLS: true},
		Rcpts:    []report.Rcpt{{Rcpt: envelope.Rcpt{To: addr("x@y.net")}, Action: report.Failed, Code: 550, Text: "no", Remote: true}},
	}
}

func (h *house) report(d *report.DSN) {
	h.t.Helper()
	ran := false
	h.must(h.in.Report(h.t.Context(), d, func(kv.Tx) error { ran = true; return nil }, nil))
	if !ran {
		h.t.Error("the outcome was not recorded")
	}
}

// A report that has nowhere to go ends with the postmaster, and so many of
// them only.
func TestReportsEndWithThePostmaster(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	h.report(h.failing("gone@example.test"))
	h.report(h.failing("postmaster"))
	list := h.inbox("alice@example.test")
	if len(list) != 2 {
		t.Fatalf("%d copies", len(list))
	}
	for _, raw := range list {
		if d := h.parse(raw); !strings.Contains(d.text, "you, the postmaster") || d.kind != "text/rfc822-headers" || d.header.Get("Return-Path") != "<>" {
			t.Errorf("%s\n%v", d.text, d.header)
		}
	}
	for range 2 * maxCopies {
		h.report(h.failing("postmaster"))
	}
	if n := len(h.inbox("alice@example.test")); n != maxCopies {
		t.Errorf("%d copies in an hour", n)
	}
	h.clock.Advance(time.Hour)
	h.report(h.failing("postmaster"))
	if n := len(h.inbox("alice@example.test")); n != maxCopies+1 {
		t.Errorf("%d copies an hour later", n)
	}
}

// A postmaster who is elsewhere gets a copy that is the last of its kind.
func TestThePostmastersCopyIsTheLast(t *testing.T) {
	h := newHouse(t)
	h.alias("postmaster@example.test", "chief@elsewhere.net")
	h.report(h.failing("postmaster"))
	list := h.queued()
	if len(list) != 1 || list[0].Rcpts[0].Notify != envelope.NotifyNever || !list[0].Envelope.From.IsZero() {
		t.Fatalf("%+v", list)
	}
	if e := list[0].Envelope; e.Priority != 3 || !e.RequireTLS {
		t.Errorf("priority %d, TLS %v", e.Priority, e.RequireTLS) // RFC 6710 section 4.6, RFC 8689 section 5
	}
	// And no report of success ends there.
	d := h.failing("gone@example.test")
	d.Rcpts[0].Action = report.Delivered
	h.report(d)
	if n := len(h.queued()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestManyReportsInOneTransaction(t *testing.T) {
	h := newHouse(t, "alice@example.test", "carol@example.test")
	var rcpts []string
	for i := range 40 {
		name := fmt.Sprintf("l%d@example.test", i)
		h.alias(name, "alice@example.test")
		rcpts = append(rcpts, "<"+name+"> NOTIFY=SUCCESS")
	}
	h.call(smtpd.MX).send("<carol@example.test>", rcpts...)
	// One mailbox, forty recipients: one report, in the mailbox of a sender here.
	list := h.inbox("carol@example.test")
	if len(list) != 1 || len(h.parse(list[0]).rcpts) != 40 || len(h.inbox("alice@example.test")) != 1 {
		t.Errorf("%d reports", len(list))
	}
}
