package smtpd

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestSessionLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		steps  []step
		closes bool
	}{
		"unknown commands": {Limits{Unknown: 2}, []step{{"A", "500"}, {"B", "500"}, {"C", "421 4.7.0"}}, true},
		"errors":           {Limits{Errors: 2}, []step{{"RSET x", "501"}, {"RSET x", "501"}, {"RSET x", "501"}, {"NOOP", "421 4.7.0"}}, true},
		"commands":         {Limits{Commands: 2}, []step{{"NOOP", "250"}, {"NOOP", "250"}, {"NOOP", "421 4.7.0"}}, true},
		"messages": {Limits{Messages: 1}, []step{
			{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<bob@example.test>", "250"}, {"BDAT 0 LAST", "250"}, {"MAIL FROM:<>", "421 4.7.0"}}, true},
		"recipients": {Limits{Recipients: 2}, []step{
			{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<bob@example.test>", "250"}, {"RCPT TO:<alice@example.test>", "250"},
			{"RCPT TO:<bob@example.test>", "452 4.5.3"}, {"BDAT 0 LAST", "250"}}, false},
		"line": {Limits{CommandLine: 20}, []step{{"NOOP 567890123456789", "250"}, {"NOOP 5678901234567890", "500 5.5.2"}}, false},
		"idle": {Limits{Idle: 3}, []step{
			{"EHLO x", "250"}, {"NOOP", "250"}, {"RSET", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<bob@example.test>", "250"}, {"BDAT 0 LAST", "250"},
			{"NOOP", "250"}, {"VRFY alice", "252"}, {"EHLO x", "250"}, {"HELP", "214"}, {"QUIT", "421 4.7.0 Too many commands without mail"}}, true},
		"errors forgiven": {Limits{Errors: 2}, []step{
			{"EHLO x", "250"}, {"RSET x", "501"}, {"RSET x", "501"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<bob@example.test>", "250"}, {"BDAT 0 LAST", "250"},
			{"RSET x", "501"}, {"RSET x", "501"}, {"NOOP", "250"}}, false},
		"ours": {Limits{Errors: 1}, []step{
			{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<busy@example.test>", "451"}, {"RCPT TO:<busy@example.test>", "451"}, {"NOOP", "250"}}, false},
		"harvest": {Limits{UnknownRcpts: 2}, []step{
			{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<a@example.test>", "550 5.1.1"}, {"RCPT TO:<b@example.test>", "550 5.1.1"}, {"RCPT TO:<bob@example.test>", "250"},
			{"BDAT 0 LAST", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<c@example.test>", "421 4.7.0 Too many unknown recipients"}}, true},
		"how old": {Limits{UnknownRcpts: 2}, []step{
			{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RCPT TO:<young@example.test> RRVS=2020-01-01T00:00:00Z", "550 5.7.17"},
			{"RCPT TO:<young@example.test> RRVS=2021-01-01T00:00:00Z", "550 5.7.17"}, {"RCPT TO:<young@example.test> RRVS=2022-01-01T00:00:00Z", "421 4.7.0"}}, true},
		"HTTP":  {Limits{}, []step{{"GET / HTTP/1.1", "421 4.7.0"}}, true},
		"SSH":   {Limits{}, []step{{"SSH-2.0-x", "421 4.7.0"}}, true},
		"TLS":   {Limits{}, []step{{"\x16\x03\x01", "421 4.7.0"}}, true},
		"flood": {Limits{}, []step{{strings.Repeat("x", 1<<20+10000), "421 4.7.0"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, Config{Limits: c.limits}, &house{})
			p := dial(t, addr)
			for _, s := range c.steps {
				// The server may hang up before it has read all of a flood.
				go io.WriteString(p.conn, s.say+"\r\n")
				p.want(s.want)
			}
			if c.closes {
				p.closed()
			} else {
				p.do("NOOP", "250")
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	srvTLS, _ := certificate(t)
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"total":   {Config{Limits: Limits{Connections: 2}}, "421 4.7.0 Too many connections, try"},
		"address": {Config{Limits: Limits{ConnectionsPerIP: 2}}, "421 4.7.0 Too many connections from your address"},
		"network": {Config{Limits: Limits{ConnectionsPerNetwork: 2}}, "421 4.7.0 Too many connections from your network"},
		"trusted": {Config{Limits: Limits{ConnectionsPerIP: 2, Connections: 2}, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "220 "},
		"TLS":     {Config{TLS: srvTLS, Limits: Limits{ConnectionsPerIP: 2}}, "421 4.7.0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatcher()
			c.cfg.Observer = w
			_, addr := serve(t, c.cfg, &house{})
			first := dial(t, addr)
			dial(t, addr)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p := newPeer(t, conn)
			p.want(c.want)
			if name == "trusted" {
				return
			}
			p.closed()
			first.do("QUIT", "221")
			dial(t, addr) // the place is free
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.refused) != 1 || w.opened != 3 {
				t.Errorf("observer saw %d opened, refused %q", w.opened, w.refused)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	h := &house{}
	t.Chdir(t.TempDir()) // a socket's path must be short
	const path = "lmtp.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, Config{Door: "lmtp", Mode: LMTP, Limits: Limits{ConnectionsPerIP: 1}}, h)
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p := newPeer(t, conn)
		p.want("220 mx.example.test LMTP")
		p.do("LHLO x", "250")
		p.do("MAIL FROM:<>", "250")
		p.do("RCPT TO:<bob@example.test>", "250")
		p.do("BDAT 0 LAST", "250")
	}
	if got := h.all(); len(got) != 3 || got[0].env.Origin.Remote.IsValid() {
		t.Errorf("%d messages", len(got))
	}
}
