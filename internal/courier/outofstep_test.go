package courier

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"posthouse/internal/classify"
)

// unended goes by BDAT where it can, for DATA would give it a line end.
const unended = "Subject: hi\r\n\r\nhello"

// One reply too many never makes the refusal of a message an acceptance, wherever it
// comes in the dialogue and however the message is sent.
func TestOneReplyTooMany(t *testing.T) {
	for name, ext := range manners {
		for command, replies := range map[string]string{
			"MAIL": "250 2.1.0 ok\r\n250 2.1.0 twice",
			"RCPT": "250 2.1.5 ok\r\n250 2.1.5 extra",
			"EHLO": "250-peer.example\r\n250-" + strings.Join(ext, "\r\n250-") + "\r\n250 SIZE\r\n250 stray",
		} {
			for _, text := range []string{hello, unended} {
				p := newPeer(t, "127.0.0.1:0", ext...)
				if command == "RCPT" {
					p.rcpt = func(string) string { return replies }
				} else {
					p.answers[command] = replies
				}
				p.onData = func(int) string { return "554 5.7.1 spam, refused" }
				p.start()
				o := send(t, newCourier(t, p), text, "a@example.net")[0]
				if o.Sent() || o.Permanent() || o.Uncertain || o.Class != classify.Protocol {
					t.Errorf("%s, %s %q: %+v", name, command, replies, o)
				}
			}
		}
	}
}

// One recipient's refusal is never laid on another: what a server said out of step is
// taken back, be the refusal that of a mailbox or of all.
func TestRefusalOutOfStep(t *testing.T) {
	for name, ext := range manners {
		for _, late := range []string{"550 5.1.1 late no", "451 4.3.0 not now", "250 2.1.5 again"} {
			for _, text := range []string{hello, unended} {
				p := newPeer(t, "127.0.0.1:0", ext...)
				p.rcpt = func(to string) string {
					if strings.HasPrefix(to, "<u0@") {
						return "250 2.1.5 ok\r\n" + late
					}
					return "250 2.1.5 ok"
				}
				p.start()
				for i, o := range send(t, newCourier(t, p), text, "u0@example.net", "u1@example.net") {
					if o.Sent() || o.Permanent() || o.Remote || o.Class != classify.Protocol {
						t.Errorf("%s, %q, u%d: %+v", name, late, i, o)
					}
				}
				if len(p.received()) != 0 {
					t.Errorf("%s, %q: it has %d messages", name, late, len(p.received()))
				}
			}
		}
	}
}

// The same where the refusal seems to be the answer to MAIL or DATA. That the server
// takes its leave is no such case.
func TestRefusalOfAllOutOfStep(t *testing.T) {
	for _, tt := range []struct {
		command, reply string
		permanent      bool
	}{
		{"MAIL", "550 5.7.1 not you\r\n250 2.1.0 ok", false},
		{"DATA", "550 5.7.1 not you\r\n354 go on", false},
		{"DATA", "550 5.7.1 not you\r\n421 4.7.0 too many errors", true},
		{"DATA", "550 5.7.1 not you", true},
	} {
		p := newPeer(t, "127.0.0.1:0", "PIPELINING")
		p.answers[tt.command] = tt.reply
		p.start()
		o := send(t, newCourier(t, p), hello, "a@example.net")[0]
		if o.Sent() || o.Permanent() != tt.permanent {
			t.Errorf("%q: %+v", tt.reply, o)
		}
	}
}

// A connection over which something came while it lay idle is not used again.
func TestStrayReplyWhileIdle(t *testing.T) {
	for name, ext := range manners {
		for _, text := range []string{hello, unended} {
			p := newPeer(t, "127.0.0.1:0", ext...)
			p.onData = func(taken int) string { return []string{"", "554 5.7.1 spam, refused"}[taken] }
			p.start()
			c := newCourier(t, p)
			wantCodes(t, send(t, c, text, "a@example.net"), 250)
			p.mu.Lock()
			for conn := range p.live {
				io.WriteString(conn, "250 2.0.0 stray\r\n")
			}
			p.mu.Unlock()
			for idle := onlyIdle(t, c); !idle.w.Arrived(); {
				runtime.Gosched()
			}
			wantCodes(t, send(t, c, text, "a@example.net"), 554)
			if p.connections() != 2 || len(p.received()) != 1 || strings.Contains(p.commands(), "RSET") {
				t.Errorf("%s: %d connections:\n%s", name, p.connections(), p.commands())
			}
		}
	}
}

// What being sure costs: two round trips for a message to any number of recipients
// where commands may be sent ahead, and one per command where each waits.
func TestRoundTrips(t *testing.T) {
	for _, tt := range []struct {
		ext  []string
		text string
		want int
	}{
		{nil, hello, 5},
		{[]string{"PIPELINING"}, hello, 2},
		{[]string{"PIPELINING", "CHUNKING"}, hello, 2},
		{[]string{"PIPELINING", "CHUNKING"}, unended, 4},
	} {
		p := newPeer(t, "127.0.0.1:0", tt.ext...).start()
		c := newCourier(t, p)
		var line *counted
		c.opt.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			line = &counted{Conn: nc}
			return line, err
		})
		wantCodes(t, send(t, c, tt.text, "a@example.net", "b@example.net"), 250, 250)
		before := line.turns
		wantCodes(t, send(t, c, tt.text, "a@example.net", "b@example.net"), 250, 250)
		if n := line.turns - before; n != tt.want || p.connections() != 1 {
			t.Errorf("%v: %d round trips, want %d", tt.ext, n, tt.want)
		}
	}
}

// counted counts how often it was written to after it was read from.
type counted struct {
	net.Conn
	turns int
	wrote bool
}

func (c *counted) Write(p []byte) (int, error) {
	if !c.wrote {
		c.turns++
	}
	c.wrote = true
	return c.Conn.Write(p)
}

func (c *counted) Read(p []byte) (int, error) {
	c.wrote = false
	return c.Conn.Read(p)
}

// onlyIdle is the one connection that lies idle.
func onlyIdle(t *testing.T, c *Courier) *conn {
	t.Helper()
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for _, s := range c.pool.sites {
		if len(s.idle) == 1 {
			return s.idle[0]
		}
	}
	t.Fatal("no connection lies idle")
	return nil
}
