package pop3d

import (
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/logtest"
)

// A connection without a login is no news; a session is one line, a failed login
// another, both with the session's id.
func TestLog(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() }, simple, simple)
	h.dial().hangUp()
	h.dial().talk("C: CAPA\nS: +OK ~\nC: QUIT")
	c := h.dial()
	c.talk("C: USER mallory\nS: +OK ~\nC: PASS guess\nS: -ERR ~\nC: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: +OK ~")
	c.fetch("RETR 1")
	second := h.dial()
	second.talk("C: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: -ERR [IN-USE] ~")
	c.talk("C: DELE 2\nS: +OK ~\nC: QUIT\nS: +OK ~")
	c.closed()
	h.srv.Shutdown(t.Context())
	lines := log.Lines(slog.LevelInfo)
	var said []string
	sessions := map[any]int{}
	for _, l := range lines {
		said = append(said, l.Level+" "+l.Message)
		sessions[l.Attrs["session"]]++
	}
	if len(lines) != 4 || len(sessions) != 2 || said[0] != "INFO login failed" || said[1] != "INFO login refused" {
		t.Fatalf("%q", said)
	}
	if failed := lines[0].Attrs; failed["login"] != "mallory" || failed["mechanism"] != "PASS" {
		t.Errorf("%v", failed)
	}
	own := lines[2] // the two sessions may end in any order
	if own.Attrs["session"] != lines[0].Attrs["session"] {
		own = lines[3]
	}
	for key, want := range map[string]any{"door": "pop3", "login": "alice", "end": "quit", "retrieved": 1.0, "deleted": 1.0, "commands": 7.0} {
		if got := own.Attrs[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

// What strangers send is no fault of ours, and a mechanism that we lack no login.
func TestLogOfStrangersLogins(t *testing.T) {
	var log logtest.Log
	h := newHouse(t, func(c *Config) { c.Log = log.Logger() })
	c := h.dial()
	c.talk("C: AUTH X\nS: -ERR No such mechanism here\nC: AUTH SCRAM-SHA-256-PLUS =\nS: -ERR No such mechanism here")
	if lines := log.Lines(slog.LevelInfo); len(lines) > 0 {
		t.Errorf("unknown mechanisms: %v", lines)
	}
	c.talk("C: AUTH PLAIN\nS: + \nC: " + strings.Repeat("A", 13000) + "\nS: -ERR Malformed response")
	lines := log.Lines(slog.LevelInfo) // written before the reply
	if len(lines) != 1 || lines[0].Level != "INFO" || lines[0].Message != "login failed" || lines[0].Attrs["mechanism"] != "PLAIN" {
		t.Errorf("a line too long: %v", lines)
	}
}
