package courier

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
)

const hello = "Subject: hi\r\n\r\nhello\r\n"

func TestDeliver(t *testing.T) {
	for _, ext := range [][]string{nil, {"PIPELINING"}, {"CHUNKING"}, {"PIPELINING", "CHUNKING", "SIZE 1000000", "8BITMIME"}} {
		t.Run(strings.Join(ext, "+"), func(t *testing.T) {
			p := newPeer(t, "127.0.0.1:0", ext...).start()
			c := newCourier(t, p)
			big := "Subject: big\r\n\r\n" + strings.Repeat(".dots\r\n..\r\n.\r\nline\r\n", 20_000)
			for _, text := range []string{hello, "", "no line end", ".", ".\r\n", "\r\n.\r\n", "a\r\n.b\r\n..\r\n", big} {
				outs := send(t, c, text, "bob@example.net", "carol@example.net")
				wantCodes(t, outs, 250, 250)
				if !outs[0].Remote || outs[0].Text != "taken" || outs[0].Host != "mx.example.net" || outs[0].Addr != p.addr() || len(outs[0].Steps) == 0 {
					t.Errorf("outcome %+v", outs[0])
				}
				all := p.received()
				m := all[len(all)-1]
				want := text
				if !contains(ext, "CHUNKING") && text != "" && !strings.HasSuffix(text, "\r\n") {
					want += "\r\n" // DATA ends with a line
				}
				if m.data != want {
					t.Errorf("sent %d bytes, arrived %d: %.40q", len(want), len(m.data), m.data)
				}
				if len(m.rcpts) != 2 || !strings.HasPrefix(m.from, "<alice@example.test>") {
					t.Errorf("envelope %v %v", m.from, m.rcpts)
				}
			}
			if p.connections() != 1 {
				t.Errorf("%d connections for messages one after another", p.connections())
			}
			if strings.Contains(p.commands(), "RSET") {
				t.Error("RSET between messages that went well")
			}
		})
	}
}

func contains(list []string, s string) bool { return strings.Contains(strings.Join(list, " "), s) }

func TestPrependAndSkip(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p)
	route, err := c.Resolve(t.Context(), "example.net")
	if err != nil {
		t.Fatal(err)
	}
	text := "Return-Path: <a@b>\r\n" + hello
	outs := c.Deliver(t.Context(), &Transfer{
		Route: route, Rcpts: rcpts("bob@example.net"), Prepend: "Delivered-To: x@y\r\n",
		Body: strings.NewReader(text), Skip: 20, Size: int64(len(text) - 20),
	})
	wantCodes(t, outs, 250)
	m := p.received()[0]
	if m.data != "Delivered-To: x@y\r\n"+hello || !strings.HasPrefix(m.from, "<>") {
		t.Errorf("%q from %q", m.data, m.from)
	}
}

func TestOneRecipientRefused(t *testing.T) {
	for _, ext := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		p := newPeer(t, "127.0.0.1:0", ext...)
		p.rcpt = func(to string) string {
			switch {
			case strings.HasPrefix(to, "<bad"):
				return "550-5.1.1 No such\r\n550 5.1.1 user"
			case strings.HasPrefix(to, "<later"):
				return "451 4.7.1 Greylisted"
			}
			return "250 ok"
		}
		p.start()
		c := newCourier(t, p)
		outs := send(t, c, hello, "bob@example.net", "bad@example.net", "later@example.net")
		wantCodes(t, outs, 250, 550, 451)
		if outs[1].Text != "No such user" || outs[1].Enhanced.String() != "5.1.1" {
			t.Errorf("%+v", outs[1])
		}
		wantCodes(t, send(t, c, hello, "bad@example.net"), 550)
		wantCodes(t, send(t, c, hello, "bob@example.net"), 250)
		if n := p.connections(); n != 1 {
			t.Errorf("%v: %d connections", ext, n)
		}
	}
}

func TestAllRefusedAfter354(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.rcpt = func(to string) string { return "550 5.1.1 no" }
	p.answers["DATA"] = "354 send it all the same"
	p.answers["."] = "554 5.5.1 no valid recipients"
	p.start()
	c := newCourier(t, p)
	wantCodes(t, send(t, c, hello, "a@example.net", "b@example.net"), 550, 550)
	if cmds := p.commands(); !strings.HasSuffix(cmds, "DATA\n.") {
		t.Errorf("commands:\n%s", cmds)
	}
}

func TestMailRefused(t *testing.T) {
	for _, ext := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		p := newPeer(t, "127.0.0.1:0", ext...)
		p.answers["MAIL"] = "550 5.7.1 not you"
		p.start()
		c := newCourier(t, p)
		outs := send(t, c, hello, "a@example.net", "b@example.net")
		wantCodes(t, outs, 550, 550)
		if outs[1].Text != "not you" {
			t.Errorf("%+v", outs[1])
		}
	}
}

func TestFinalReply(t *testing.T) {
	for reply, want := range map[string]int{"451 4.3.0 later": 451, "554 5.7.1 spam": 554, "hangup": 451, "350 odd": 450, "421 4.3.2 bye": 421} {
		p := newPeer(t, "127.0.0.1:0", "PIPELINING")
		p.onData = func(int) string { return reply }
		p.start()
		c := newCourier(t, p)
		wantCodes(t, send(t, c, hello, "a@example.net"), want)
		if p.connections() != 1 {
			t.Errorf("%q: tried again at once over %d connections", reply, p.connections())
		}
	}
}

func TestHangUpInData(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	p.hangData = true
	p.start()
	c := newCourier(t, p)
	outs := send(t, c, strings.Repeat("line\r\n", 100_000), "a@example.net")
	if !outs[0].Temporary() || outs[0].Remote {
		t.Errorf("%+v", outs[0])
	}
}

func Test421ThenTheNextHost(t *testing.T) {
	p, q := newPeers(t, "PIPELINING")
	p.answers["MAIL"] = "421 4.3.2 too busy"
	p.start()
	q.start()
	c := newCourier(t, p, func(o *Options) {
		o.Resolver = &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 20, Host: "second"}, {Preference: 10, Host: "first"}}},
			ip: map[string][]netip.Addr{"first": {p.addr().Addr()}, "second": {q.addr().Addr()}},
		}
	})
	outs := send(t, c, hello, "a@example.net")
	wantCodes(t, outs, 250)
	if outs[0].Host != "second" || p.connections() != 1 {
		t.Errorf("%+v after %d calls", outs[0], p.connections())
	}
}

func TestDeadFirstHostIsRemembered(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	dead := netip.MustParseAddr("127.0.0.9")
	var mu sync.Mutex
	calls := map[string]int{}
	c := newCourier(t, p, func(o *Options) {
		o.Idle = -1
		o.Resolver = &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 10, Host: "first"}, {Preference: 20, Host: "second"}}},
			ip: map[string][]netip.Addr{"first": {dead}, "second": {p.addr().Addr()}},
		}
		o.Timeouts.Connect = 50 * time.Millisecond
		o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			calls[addr]++
			mu.Unlock()
			if strings.HasPrefix(addr, "127.0.0.9:") {
				<-ctx.Done() // nobody answers
				return nil, ctx.Err()
			}
			return (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), network, addr) // as long as it takes
		})
	})
	for range 5 {
		wantCodes(t, send(t, c, hello, "a@example.net"), 250)
	}
	if n := calls[fmt.Sprintf("127.0.0.9:%d", p.addr().Port())]; n != 1 {
		t.Errorf("the dead host was called %d times", n)
	}
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

func TestAllHostsDead(t *testing.T) {
	c := newCourier(t, &peer{at: netip.MustParseAddrPort(nettest.Nobody(t, "127.0.0.1:0"))})
	for range 2 {
		outs := send(t, c, hello, "a@example.net")
		if !outs[0].Temporary() || outs[0].Enhanced.String() != "4.4.1" || !strings.Contains(outs[0].Text, "refused") ||
			outs[0].Class != classify.NetworkFailure || outs[0].Stage != classify.StageConnect {
			t.Errorf("%+v", outs[0])
		}
	}
}

func TestSlowPeer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newCourier(t, peerOn(t, ln), func(o *Options) { o.Timeouts.Greeting = 20 * time.Millisecond })
	outs := send(t, c, hello, "a@example.net") // accepted by the system, greeted by nobody
	if !outs[0].Temporary() || !strings.Contains(outs[0].Text, "timed out") {
		t.Errorf("%+v", outs[0])
	}
}

func TestCancel(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newCourier(t, peerOn(t, ln))
	route, _ := c.Resolve(t.Context(), "example.net")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []Outcome)
	go func() {
		done <- c.Deliver(ctx, &Transfer{Route: route, Rcpts: rcpts("a@example.net"), Body: strings.NewReader("")})
	}()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if outs := <-done; !outs[0].Temporary() {
		t.Errorf("%+v", outs[0])
	}
}

func TestGreetings(t *testing.T) {
	for greeting, want := range map[string]int{
		"554 5.7.1 go away": 554, "421 busy": 421, "521 no mail here": 521, "nonsense": 451, "250 not a greeting": 450,
	} {
		p := newPeer(t, "127.0.0.1:0")
		p.greeting = greeting
		p.start()
		outs := send(t, newCourier(t, p), hello, "a@example.net")
		wantCodes(t, outs, want)
		if outs[0].Permanent() != (want == 521) {
			t.Errorf("%q: %+v", greeting, outs[0].Verdict)
		}
	}
}

func TestHELOFallback(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "SIZE")
	p.answers["EHLO"] = "500 what?"
	p.start()
	wantCodes(t, send(t, newCourier(t, p), hello, "a@example.net"), 250)
	if strings.Contains(p.commands(), "SIZE=") {
		t.Error("extensions used after HELO")
	}
}

func TestSizeLimit(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "SIZE 10").start()
	outs := send(t, newCourier(t, p), hello, "a@example.net")
	wantCodes(t, outs, 552)
	if outs[0].Enhanced.String() != "5.3.4" || strings.Contains(p.commands(), "MAIL") {
		t.Errorf("%+v", outs[0])
	}
}

func TestInternationalMail(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p)
	outs := send(t, c, hello, "a@example.net", "bü@example.net")
	wantCodes(t, outs, 250, 553)
	if outs[1].Enhanced.String() != "5.6.7" {
		t.Errorf("%+v", outs[1])
	}
	wantCodes(t, transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), UTF8: true}, hello), 550)
	// Only the domain of the sender is international: A-labels will do.
	from := smtp.Address{Local: "a", Domain: "exämple.test"}
	wantCodes(t, transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), From: from}, hello), 250)
	if m := p.received()[1]; !strings.HasPrefix(m.from, "<a@xn--exmple-cua.test>") {
		t.Errorf("from %q", m.from)
	}
	// So is what the recipient's own line before the message needs.
	wantCodes(t, transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), Prepend: "Delivered-To: ü@example.test\r\n"}, hello), 550)
	q := newPeer(t, "127.0.0.1:0", "PIPELINING", "SMTPUTF8").start()
	wantCodes(t, send(t, newCourier(t, q), hello, "bü@example.net"), 250)
	if m := q.received()[0]; !strings.Contains(m.from, "SMTPUTF8") || m.rcpts[0] != "<bü@example.net>" {
		t.Errorf("%+v", m)
	}
}

func TestBareLines(t *testing.T) {
	harmless, shaped := "a\nb\r\n", "a\n.\r\nMAIL FROM:<x@y>\r\n"
	p := newPeer(t, "127.0.0.1:0", "PIPELINING").start()
	c := newCourier(t, p)
	wantCodes(t, transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), BareLines: true}, harmless), 250)
	outs := transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), BareLines: true}, shaped)
	wantCodes(t, outs, 550)
	outs = transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), BareLines: true}, "a\r\n\x00.\r\nMAIL FROM:<x@y>\r\n")
	wantCodes(t, outs, 550)
	if len(p.received()) != 1 || p.received()[0].data != harmless {
		t.Errorf("%+v", p.received())
	}
	q := newPeer(t, "127.0.0.1:0", "CHUNKING").start()
	wantCodes(t, transfer(t, newCourier(t, q), &Transfer{Rcpts: rcpts("a@example.net"), BareLines: true}, shaped), 250)
	if q.received()[0].data != shaped {
		t.Errorf("%q", q.received()[0].data)
	}
}

func TestTooManyRecipients(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	n := 0
	p.rcpt = func(string) string {
		if n++; n%3 == 0 {
			return "452 4.5.3 too many recipients"
		}
		return "250 ok"
	}
	p.start()
	outs := send(t, newCourier(t, p), hello, "a@example.net", "b@example.net", "c@example.net", "d@example.net")
	wantCodes(t, outs, 250, 250, 250, 250)
	if len(p.received()) != 2 || p.connections() != 1 {
		t.Errorf("%d transactions, %d connections", len(p.received()), p.connections())
	}
}
