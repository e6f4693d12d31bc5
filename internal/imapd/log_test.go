package imapd

import (
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/doortest"
	"posthouse/internal/listen"
	"posthouse/internal/logtest"
)

// A connection without a login is no news; a session is one line, a failed login
// another, both with the session's id.
func TestLog(t *testing.T) {
	var log logtest.Log
	seen := doortest.NewWatcher()
	h := newHouse(t, func(c *Config) { c.Log, c.Observer = log.Logger(), seen })
	h.dial().ok("LOGOUT")
	seen.NextEnded()
	must(t, h.srv.Shutdown(t.Context()))
	if lines := log.Lines(slog.LevelInfo); len(lines) > 0 {
		t.Errorf("a connection without a login: %v", lines)
	}

	h = newHouse(t, func(c *Config) { c.Log = log.Logger() })
	c := h.dial()
	long := strings.Repeat("x", 1000)
	c.talk("C: a LOGIN " + long + " secret\nS: a NO ~")
	c.ok("LOGIN alice secret")
	c.appendMail("INBOX", "", simple)
	c.ok("SELECT INBOX")
	c.ok("FETCH 1 BODY[]")
	c.ok("LOGOUT")
	must(t, h.srv.Shutdown(t.Context()))
	lines := log.Lines(slog.LevelInfo)
	if len(lines) != 2 || lines[0].Message != "login failed" || lines[1].Message != "session" {
		t.Fatalf("%v", lines)
	}
	failed, session := lines[0].Attrs, lines[1].Attrs
	if failed["login"] != long[:255] || failed["mechanism"] != "LOGIN" || failed["session"] != session["session"] || len(failed["session"].(string)) != 16 {
		t.Errorf("%v", failed)
	}
	for key, want := range map[string]any{"door": "imap", "login": "alice", "end": "quit", "bodies": 1.0, "appended": 1.0, "commands": 6.0} {
		if session[key] != want {
			t.Errorf("%s is %v, want %v", key, session[key], want)
		}
	}
	if remote, _ := session["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") {
		t.Errorf("remote is %q", remote)
	}
	if session["received"].(float64) < 1000 || session["sent"].(float64) < float64(len(simple)) {
		t.Errorf("%v", session)
	}
}

// What strangers send is no fault of ours, and a mechanism that we lack no login.
func TestLogOfStrangersLogins(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() })
	c := h.dial()
	c.talk("C: a AUTHENTICATE X\nS: a NO [CANNOT] ~\nC: b AUTHENTICATE SCRAM-SHA-256-PLUS =\nS: b NO [CANNOT] ~")
	c.talk("C: c AUTHENTICATE PLAIN\nS: +~\nC: " + strings.Repeat("A", 13000) + "\nS: * BYE [LIMIT] ~")
	c.closed()
	h.dial().talk("C: a AUTHENTICATE PLAIN\nS: +~\nC: !\nS: a BAD ~")
	must(t, h.srv.Shutdown(t.Context()))
	lines := log.Lines(slog.LevelInfo)
	if len(lines) != 1 || lines[0].Level != "INFO" || lines[0].Message != "login failed" || lines[0].Attrs["mechanism"] != "PLAIN" {
		t.Errorf("want one login failed: %v", lines)
	}
}

// A house that is full is something to look at, once in a while.
func TestLogOfRefusals(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log, c.Gate = log.Logger(), listen.GateLimits{Total: 1} })
	h.dial()
	for range 3 {
		h.turnedAway("S: * BYE ~")
	}
	must(t, h.srv.Shutdown(t.Context()))
	lines := log.Lines(slog.LevelInfo)
	if len(lines) != 1 || lines[0].Level != "WARN" || lines[0].Attrs["reason"] != "connections" {
		t.Errorf("%v", lines)
	}
	if all := log.Lines(slog.LevelDebug); len(all) != 4 {
		t.Errorf("%d lines in all, want one for each connection: %v", len(all), all)
	}
}
