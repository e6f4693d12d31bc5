package imapd

import "testing"

// A message is \Recent in the first session that is told of it, and in no other (RFC
// 3501 section 2.3.2).
func TestRecent(t *testing.T) {
	h := newHouse(t)
	other := h.login("")
	other.appendMail("INBOX", `(\Seen) `, simple)
	other.appendMail("INBOX", "", simple)
	status := func(want string) {
		t.Helper()
		if got := other.ok("STATUS INBOX (RECENT)"); got[0] != "* STATUS INBOX (RECENT "+want+")" {
			t.Errorf("%q, want %s", got, want)
		}
	}
	status("2")

	// One who only looks leaves them for the next.
	looker := h.dial()
	looker.ok("LOGIN alice secret")
	if lines := looker.ok("EXAMINE INBOX"); !contains(lines, "* 2 RECENT") {
		t.Errorf("EXAMINE: %q", lines)
	}
	if lines := looker.ok("FETCH 1 FLAGS"); lines[0] != `* 1 FETCH (FLAGS (\Recent \Seen))` {
		t.Errorf("after EXAMINE: %q", lines)
	}
	status("2")

	first := h.dial()
	first.ok("LOGIN alice secret")
	if lines := first.ok("SELECT INBOX"); !contains(lines, "* 2 RECENT") {
		t.Errorf("SELECT: %q", lines)
	}
	status("0")
	first.talk(`
		C: a SEARCH RECENT
		S: * SEARCH 1 2
		S: a OK ~
		C: b SEARCH NEW
		S: * SEARCH 2
		S: b OK ~
		C: c STORE 2 FLAGS (\Recent \Draft)
		S: * 2 FETCH (FLAGS (\Recent \Draft))
		S: c OK ~
	`)
	second := h.login("")
	if lines := second.ok("SELECT INBOX"); !contains(lines, "* 0 RECENT") {
		t.Errorf("the second SELECT: %q", lines)
	}

	// What comes now is for the one that asks first.
	other.appendMail("INBOX", "", simple)
	status("1")
	second.talk(`
		C: a NOOP
		S: * 3 EXISTS
		S: * 1 RECENT
		S: a OK ~
		C: b FETCH 1:* FLAGS
		S: * 1 FETCH (FLAGS (\Seen))
		S: * 2 FETCH (FLAGS (\Draft))
		S: * 3 FETCH (FLAGS (\Recent))
		S: b OK ~
		C: c SEARCH OLD
		S: * SEARCH 1 2
		S: c OK ~
	`)
	first.talk(`
		C: d NOOP
		S: * 3 EXISTS
		S: d OK ~
		C: e FETCH 3 FLAGS
		S: * 3 FETCH (FLAGS ())
		S: e OK ~
		C: f STORE 1 +FLAGS.SILENT (\Deleted)
		S: f OK ~
		C: g EXPUNGE
		S: * 1 EXPUNGE
		S: * 1 RECENT
		S: g OK ~
	`)
	status("0")

	// IMAP4rev2 knows no \Recent; what comes stays recent for others.
	other.ok("ENABLE IMAP4rev2")
	other.appendMail("INBOX", "", simple)
	if lines := other.ok("SELECT INBOX"); contains(lines, "~RECENT") {
		t.Errorf("IMAP4rev2: %q", lines)
	}
	if lines := other.ok("FETCH 3 FLAGS"); lines[0] != "* 3 FETCH (FLAGS ())" {
		t.Errorf("IMAP4rev2: %q", lines)
	}
	status("1")
}
