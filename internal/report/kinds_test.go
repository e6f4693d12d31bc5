package report

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/status"
)

// success is a report of what went well.
func success(a Action) *DSN {
	d := sample()
	d.Original.Ret = "FULL"
	d.Original.Origin.Helo, d.Original.Origin.Remote = "client.example.org", netip.MustParseAddrPort("[2001:db8::1]:4025")
	d.Rcpts = []Rcpt{{
		Rcpt: d.Rcpts[0].Rcpt, Action: a, Status: status.Enhanced{Class: 2, Subject: 1, Detail: 5}, LastAttempt: noon,
	}}
	return d
}

func TestReportsOfSuccess(t *testing.T) {
	for _, tc := range []struct {
		action  Action
		subject string
		text    string
	}{
		{Delivered, "Delivered: Grüße", "does not say that the message was read"},
		{Relayed, "Passed on: Grüße", "most of them tell only of failures"},
		{Expanded, "Passed on: Grüße", "only if it fails there"},
	} {
		t.Run(string(tc.action), func(t *testing.T) {
			d := success(tc.action)
			_, parts, bodies := parse(t, d)
			if d.subject() != tc.subject {
				t.Errorf("subject %q", d.subject())
			}
			if !strings.Contains(bodies[0], tc.text) || strings.Contains(bodies[0], "lease") {
				t.Errorf("text:\n%s", bodies[0])
			}
			groups := fields(t, bodies[1])
			if got := groups[0].Get("Received-From-Mta"); got != "dns; client.example.org (2001:db8::1)" {
				t.Errorf("Received-From-MTA %q", got)
			}
			for name, want := range map[string]string{
				"Original-Recipient": "rfc822; bobby@example.net", "Final-Recipient": "rfc822; bob@example.net",
				"Action": string(tc.action), "Status": "2.1.5", "Diagnostic-Code": "", "Remote-Mta": "",
				"Last-Attempt-Date": "Sun, 1 Mar 2026 12:00:00 +0000", "Final-Log-Id": string(sent),
			} {
				if got := groups[1].Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			// RFC 3461 section 6.2: no failure, no message.
			if kind := parts[2].Header.Get("Content-Type"); kind != "text/rfc822-headers" {
				t.Errorf("third part is %q", kind)
			}
		})
	}
}

// How much comes back: RET, and without it who asks.
func TestHowMuchComesBack(t *testing.T) {
	const whole, header = "message/rfc822", "text/rfc822-headers"
	for _, tc := range []struct {
		name    string
		ret     string
		account id.Account
		change  func(*DSN)
		want    string
		note    bool
	}{
		{name: "a stranger's", want: header},
		{name: "our own", account: 1, want: whole},
		{name: "HDRS", ret: "HDRS", account: 1, want: header},
		{name: "FULL", ret: "FULL", want: whole},
		{name: "too large", ret: "FULL", change: func(d *DSN) { d.Whole = false }, want: header, note: true},
		{name: "binary", ret: "FULL", change: func(d *DSN) { d.Message = append(d.Message, 0) }, want: header, note: true},
		{name: "REQUIRETLS", ret: "FULL", change: func(d *DSN) { d.Original.RequireTLS = true }, want: header},
		{name: "delay", ret: "FULL", change: func(d *DSN) { d.Rcpts[0].Action = Delayed }, want: header},
		{name: "postmaster", ret: "FULL", account: 1, change: func(d *DSN) { d.To = Postmaster }, want: header},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := sample()
			d.Original.Ret, d.Original.Origin.Account = tc.ret, tc.account
			if tc.change != nil {
				tc.change(d)
			}
			_, parts, bodies := parse(t, d)
			if kind := parts[2].Header.Get("Content-Type"); kind != tc.want {
				t.Errorf("third part is %q", kind)
			}
			if strings.Contains(bodies[0], "too large to be returned") != tc.note {
				t.Errorf("text:\n%s", bodies[0])
			}
		})
	}
}

func TestReportForThePostmaster(t *testing.T) {
	d := sample()
	d.To = Postmaster
	h, _, bodies := parse(t, d)
	if h.Get("To") != "postmaster@mx.example.test" && h.Get("To") != "<postmaster@mx.example.test>" {
		t.Errorf("To %q", h.Get("To"))
	}
	if !strings.Contains(bodies[0], "you, the postmaster") || !strings.HasPrefix(d.subject(), "For the postmaster") {
		t.Errorf("%s\n%s", d.subject(), bodies[0])
	}
}

func TestDeliverByDate(t *testing.T) {
	d := sample()
	d.Original.DeliverBy = noon.Add(time.Hour)
	_, _, bodies := parse(t, d)
	if got := fields(t, bodies[1])[0].Get("Deliver-By-Date"); got != "Sun, 1 Mar 2026 13:00:00 +0000" {
		t.Errorf("Deliver-By-Date %q", got)
	}
}

// A report on a message that was held says how (RFC 4865 section 5.1.2).
func TestFutureReleaseRequest(t *testing.T) {
	d := sample()
	d.Original.HoldRequest = "until;2026-03-02T09:00:00Z"
	_, _, bodies := parse(t, d)
	perMessage := fields(t, bodies[1])[0]
	if got := perMessage.Get("Future-Release-Request"); got != d.Original.HoldRequest || perMessage.Get("Arrival-Date") == "" {
		t.Errorf("%v", perMessage)
	}
}

// Every code there is words for says both why and what to do, and the class of
// Status is that of the action.
func TestReasons(t *testing.T) {
	for code, r := range reasons {
		if r.why == "" || r.do == "" {
			t.Errorf("X.%d.%d: %+v", code[0], code[1], r)
		}
	}
	if explain(status.Enhanced{Class: 5, Subject: 7, Detail: 99}, true) != reasons[[2]uint16{7, 0}] || explain(status.Enhanced{Class: 5}, true) != (reason{}) {
		t.Error("the rest of a subject")
	}
	d := sample()
	d.Rcpts[0].Status, d.Rcpts[0].Enhanced = status.Enhanced{Class: 5, Subject: 4, Detail: 7}, status.Enhanced{Class: 4, Subject: 4, Detail: 1}
	if text := d.text(); !strings.Contains(text, "is over") || !strings.Contains(text, "cannot be reached") {
		t.Errorf("given up without the last reason:\n%s", text)
	}
	d = sample()
	d.Rcpts[0].Hint = "Call him."
	if text := d.text(); !strings.Contains(text, "Call him.") || strings.Contains(text, "ask the recipient") {
		t.Errorf("a hint counts for more than the table:\n%s", text)
	}
	for action, want := range map[Action]string{Failed: "5.0.0", Delayed: "4.0.0", Delivered: "2.0.0"} {
		r := Rcpt{Rcpt: envelope.Rcpt{}, Action: action}
		if got := r.conclusion().String(); got != want {
			t.Errorf("%s: %s", action, got)
		}
	}
}
