package courier

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

// An outcome carries what the reply means and at which stage it came.
func TestOutcomeHasVerdict(t *testing.T) {
	for _, tt := range []struct {
		command, reply string
		stage          classify.Stage
		class          classify.Class
		action         classify.Action
		pause          time.Duration
	}{
		{"EHLO", "421 too many connections", classify.StageEHLO, classify.TooManyConnections, classify.StopSite, time.Minute},
		{"MAIL", "553 5.1.8 Domain of sender address x@y does not exist", classify.StageMail, classify.BadSender, classify.Bounce, 0},
		{"MAIL", "550 5.7.1 Greylisted, come again", classify.StageMail, classify.Greylisted, classify.Retry, 0},
		{"RCPT", "550 5.1.1 No such user", classify.StageRcpt, classify.BadMailbox, classify.Suppress, 0},
		{"RCPT", "421 4.7.0 [TSS04] temporarily deferred", classify.StageRcpt, classify.RateLimited, classify.StopSite, 2 * time.Hour},
		{"DATA", "554 5.5.1 no valid recipients", classify.StageData, classify.Protocol, classify.Bounce, 0},
		{"DATA", "554 5.7.1 Access denied", classify.StageData, classify.PolicyRefused, classify.Bounce, 0},
	} {
		for _, ext := range [][]string{nil, {"PIPELINING"}} {
			p := newPeer(t, "127.0.0.1:0", ext...)
			p.answers[tt.command] = tt.reply
			p.start()
			o := send(t, newCourier(t, p), hello, "a@example.net")[0]
			if o.Stage != tt.stage || o.Class != tt.class || o.Action != tt.action || o.Pause != tt.pause || o.Rule == "" || o.Hint == "" || !o.Remote {
				t.Errorf("%s %q %v: %+v", tt.command, tt.reply, ext, o)
			}
			if o.Permanent() != (tt.action == classify.Bounce || tt.action == classify.Suppress) {
				t.Errorf("%q is permanent: %v", tt.reply, o.Permanent())
			}
			if o.Code/100 == 5 && o.Temporary() && o.Status().Class != 4 {
				t.Errorf("%q: status %s of something that is tried again", tt.reply, o.Status())
			}
		}
	}
}

// twoHosts is a courier for example.net with p before q.
func twoHosts(t *testing.T, p, q *peer) *Courier {
	return newCourier(t, p, func(o *Options) {
		o.Resolver = &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 10, Host: "first"}, {Preference: 20, Host: "second"}}},
			ip: map[string][]netip.Addr{"first": {p.addr().Addr()}, "second": {q.addr().Addr()}},
		}
	})
}

// Troubles of one host are carried to the next at once; what the next would say
// too is not, and what all sites would say ends the calling.
func TestElsewhere(t *testing.T) {
	for _, tt := range []struct {
		command, reply string
		asks           bool // the second host
	}{
		{"RCPT", "452 4.3.1 Insufficient system storage", true},
		{"RCPT", "451 4.3.0 Temporary lookup failure", true},
		{"MAIL", "421 4.3.2 closing", true},
		{"DATA", "451 local error in processing", true},
		{"RCPT", "450 4.2.0 Greylisted", false},
		{"RCPT", "452 4.2.2 mailbox full", false},
		{"RCPT", "550 5.1.1 no such user", false},
		{"MAIL", "421 4.7.0 too many messages from you, slow down", false},
	} {
		p, q := newPeers(t, "PIPELINING")
		p.answers[tt.command] = tt.reply
		p.start()
		q.start()
		c := twoHosts(t, p, q)
		for range 2 { // over a new connection, and over one that was kept
			o := send(t, c, hello, "a@example.net")[0]
			if o.Sent() != tt.asks || len(q.received()) > 0 != tt.asks {
				t.Errorf("%q: %d %s, %d messages elsewhere", tt.reply, o.Code, o.Text, len(q.received()))
			}
		}
	}
}

// The same for servers that do not want the session at all.
func TestElsewhereAfterTheGreeting(t *testing.T) {
	for greeting, asks := range map[string]bool{
		"554 5.7.1 go away": true, "421 4.3.2 shutting down": true, "521 no mail here": true,
		"421 4.7.0 too many connections from your address": false, "421 4.7.0 [TSS04] temporarily deferred": false,
	} {
		p, q := newPeers(t, "PIPELINING")
		p.greeting = greeting
		p.start()
		q.start()
		o := send(t, twoHosts(t, p, q), hello, "a@example.net")[0]
		if o.Sent() != asks || q.connections() > 0 != asks || !asks && o.Action != classify.StopSite {
			t.Errorf("%q: %d %s %+v", greeting, o.Code, o.Text, o.Verdict)
		}
	}
}

// When the other host is not there, or no better, the outcome is a server's
// words, not the failure to find another.
func TestElsewhereInVain(t *testing.T) {
	p, q := newPeers(t, "PIPELINING")
	p.answers["RCPT"] = "451 4.3.0 first says no"
	p.start()
	c := twoHosts(t, p, q)
	nobody := nettest.Nobody(t, "127.0.0.1:0")
	c.opt.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == q.addr().String() {
			addr = nobody
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	o := send(t, c, hello, "a@example.net")[0]
	if o.Text != "first says no" || !o.Temporary() {
		t.Errorf("%+v", o)
	}
	q.answers["RCPT"] = "451 4.3.0 second says no"
	q.start()
	if o = send(t, twoHosts(t, p, q), hello, "a@example.net")[0]; o.Text != "second says no" || p.connections() != 2 || q.connections() != 1 {
		t.Errorf("%+v after %d and %d calls", o, p.connections(), q.connections())
	}
}

// A server that refuses one mailbox only after the content costs the others
// nothing, and none is remembered as dead that may live.
func TestMailboxRefusedAfterContent(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.judge = func(m *got) string {
		if strings.Contains(strings.Join(m.rcpts, " "), "<bad@") {
			return "554 delivery error: dd This user doesn't have a yahoo.com account"
		}
		return ""
	}
	p.start()
	outs := send(t, newCourier(t, p), hello, "a@example.net", "bad@example.net", "c@example.net")
	wantCodes(t, outs, 250, 554, 250)
	if outs[1].Action != classify.Suppress || p.connections() != 1 || len(p.received()) != 2 {
		t.Errorf("%+v, %d connections, %d messages", outs[1].Verdict, p.connections(), len(p.received()))
	}
}

// What was said of several together is not the last word for those that it does not
// come to alone.
func TestLostAfterMailboxRefused(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.judge = func(m *got) string {
		if len(m.rcpts) > 1 {
			return "554 delivery error: dd This user doesn't have a yahoo.com account"
		}
		return "hangup"
	}
	p.start()
	outs := send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@example.net")
	for i, o := range outs {
		if !o.Temporary() || o.Uncertain != (i == 0) {
			t.Errorf("recipient %d: %+v", i, o)
		}
	}
}

// A server that counts the recipients only when it has the content, or is asked to
// take it, gets fewer at a time, at once; one for which a single one is too many is
// not asked again for each.
func TestTooManyRecipientsAtTheEnd(t *testing.T) {
	var to []string
	for i := range 60 {
		to = append(to, fmt.Sprintf("u%d@example.net", i))
	}
	for reply, limits := range map[string]map[int]string{
		"554 Transaction failed: Recipient count exceeds 50.": {50: "60 30 30", 1: "60 30 15 8 4 2" + strings.Repeat(" 1", 60), 0: "60 30 15 8 4 2 1"},
		"552 5.5.3 too many recipients":                       {50: "60 30 30", 20: "60 30 15 15 15 15"},
	} {
		for limit, want := range limits {
			var asked []string
			p := newPeer(t, "127.0.0.1:0", "PIPELINING")
			p.judge = func(m *got) string {
				asked = append(asked, strconv.Itoa(len(m.rcpts)))
				if len(m.rcpts) > limit {
					return reply
				}
				return ""
			}
			p.start()
			for i, o := range send(t, newCourier(t, p), hello, to...) {
				if o.Sent() != (limit > 0) || o.Permanent() {
					t.Errorf("limit %d, recipient %d: %+v", limit, i, o)
				}
			}
			p.mu.Lock()
			got := strings.Join(asked, " ")
			p.mu.Unlock()
			if got != want || p.connections() != 1 {
				t.Errorf("limit %d: asked to take %s; want %s", limit, got, want)
			}
		}
	}
}

// The same in answer to DATA.
func TestTooManyRecipientsAtData(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.atData = func(m *got) string {
		if len(m.rcpts) > 2 {
			return "452 4.5.3 too many recipients"
		}
		return ""
	}
	p.start()
	outs := send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@example.net", "d@example.net")
	wantCodes(t, outs, 250, 250, 250, 250)
	if len(p.received()) != 2 || p.connections() != 1 {
		t.Errorf("%d messages over %d connections", len(p.received()), p.connections())
	}
}

// Of an answer that is too long to read the code counts, or the message would come
// again and again; the connection is of no more use. Two codes are no answer.
func TestEndlessAnswer(t *testing.T) {
	for reply, want := range map[string]int{
		"250 2.0.0 " + strings.Repeat("y", 70_000):             250,
		strings.Repeat("250-taken\r\n", 3000) + "250 taken":    250,
		"554 5.7.1 spam " + strings.Repeat("y", 70_000):        554,
		strings.Repeat("451-4.3.0 later\r\n", 3000) + "451 no": 451,
		"250-2.0.0 ok\r\n550 no":                               0,
		strings.Repeat("y", 70_000):                            0,
	} {
		for _, text := range []string{hello, unended} {
			p := newPeer(t, "127.0.0.1:0", "PIPELINING", "CHUNKING")
			p.onData = func(int) string { return reply }
			p.start()
			c := newCourier(t, p)
			for n := range 2 {
				o := send(t, c, text, "a@example.net")[0]
				if o.Uncertain != (want == 0) || want != 0 && (o.Code != want || !o.Remote) || p.connections() != n+1 {
					t.Errorf("%.20q: %d %.100s over %d connections", reply, o.Code, o.Text, p.connections())
				}
			}
		}
	}
}

// 552 is an old code for too many recipients.
func TestTooManyRecipientsByAnOldCode(t *testing.T) {
	for _, reply := range []string{"552 enough", "552 5.5.3 too many recipients", "452 enough"} {
		p := newPeer(t, "127.0.0.1:0", "PIPELINING")
		n := 0
		p.rcpt = func(string) string {
			if n++; n%3 == 0 {
				return reply
			}
			return "250 ok"
		}
		p.start()
		outs := send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@example.net", "d@example.net")
		wantCodes(t, outs, 250, 250, 250, 250)
		if len(p.received()) != 2 {
			t.Errorf("%q: %d transactions", reply, len(p.received()))
		}
		// Alone it is not bounced.
		n = 2
		if o := send(t, newCourier(t, p), hello, "a@example.net")[0]; o.Sent() || !o.Temporary() {
			t.Errorf("%q to a single recipient: %+v", reply, o)
		}
	}
}
