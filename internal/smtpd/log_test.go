package smtpd

import (
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/logtest"
)

// Probes are no news; a session with mail or a login is one line, a failed login
// another, both with the session's id.
func TestLog(t *testing.T) {
	var log logtest.Log
	seen := newWatcher()
	srv, addr := serve(t, Config{Log: log.Logger(), OfferAuth: true, AllowPlaintextAuth: true, Observer: seen}, &house{})
	for _, probe := range []string{"", "QUIT", "NOOP\r\nQUIT", "GET / HTTP/1.1", "\x16\x03\x01"} {
		p := dial(t, addr)
		if probe != "" {
			p.send(probe + "\r\n")
		}
		p.conn.Close()
		<-seen.ends
	}
	if lines := log.Lines(slog.LevelInfo); len(lines) > 0 {
		t.Errorf("probes: %v", lines)
	}
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("AUTH PLAIN AG1hbGxvcnkAZ3Vlc3M=", "535")
	p.do("MAIL FROM:<>", "250")
	p.do("RCPT TO:<bob@example.test>", "250")
	p.do("BDAT 0 LAST", "250")
	p.do("QUIT", "221")
	<-seen.ends
	p = dial(t, addr)
	p.send("NOOP\n")
	p.want("521") // mail may be lost
	p.conn.Close()
	<-seen.ends
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var said []string
	lines := log.Lines(slog.LevelInfo)
	for _, l := range lines {
		said = append(said, l.Level+" "+l.Message)
	}
	if strings.Join(said, ", ") != "INFO login failed, INFO session, INFO session" {
		t.Fatalf("%q", said)
	}
	failed, session := lines[0].Attrs, lines[1].Attrs
	if failed["login"] != "mallory" || failed["mechanism"] != "PLAIN" || failed["session"] != session["session"] || failed["remote"] != session["remote"] {
		t.Errorf("%v, %v", failed, session)
	}
	for key, want := range map[string]any{"transactions": 1.0, "messages": 1.0, "errors": 1.0, "end": "quit", "helo": "x"} {
		if session[key] != want {
			t.Errorf("%s is %v, want %v", key, session[key], want)
		}
	}
	if lines[2].Attrs["end"] != "bare newline" {
		t.Errorf("%v", lines[2])
	}
}

// What strangers send is no fault of ours, and a mechanism that we lack no login.
func TestLogOfStrangersLogins(t *testing.T) {
	var log logtest.Log
	_, addr := serve(t, Config{Log: log.Logger(), OfferAuth: true, AllowPlaintextAuth: true}, &house{})
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("AUTH X", "504 5.5.4")
	p.do("AUTH SCRAM-SHA-256-PLUS =", "504 5.5.4")
	if lines := log.Lines(slog.LevelInfo); len(lines) > 0 {
		t.Errorf("unknown mechanisms: %v", lines)
	}
	p.do("AUTH PLAIN", "334")
	p.do(strings.Repeat("A", 13000), "500 5.5.6")
	lines := log.Lines(slog.LevelInfo) // written before the reply
	if len(lines) != 1 || lines[0].Level != "INFO" || lines[0].Message != "login failed" || lines[0].Attrs["mechanism"] != "PLAIN" {
		t.Errorf("a line too long: %v", lines)
	}
}
