package imapd

import (
	"fmt"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	c.appendMail("INBOX", `(\Seen) `, simple)
	c.appendMail("INBOX", `(Work $Later) "01-Feb-2023 04:05:06 +0200" `, simple)
	c.talk(`
		C: a SELECT inbox
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft Work $Later)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft Work $Later \*)] ~
		S: * 2 EXISTS
		S: * 2 RECENT
		S: * OK [UNSEEN 2] ~
		S: * OK [UIDVALIDITY ~] ~
		S: * OK [UIDNEXT 3] ~
		S: * OK [HIGHESTMODSEQ ~] ~
		S: * OK [MAILBOXID (F~)] Ok
		S: a OK [READ-WRITE] SELECT completed
		C: b FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE)
		S: * 2 FETCH (FLAGS (\Recent Work $Later) INTERNALDATE "01-Feb-2023 02:05:06 +0000" RFC822.SIZE 158)
		S: b OK ~
		C: c ENABLE IMAP4rev2
		S: * ENABLED IMAP4rev2
		S: c OK ~
		C: d EXAMINE INBOX
		S: * OK [CLOSED] ~
		S: * FLAGS ~
		S: * OK [PERMANENTFLAGS ()] ~
		S: * 2 EXISTS
		S: * OK [UIDVALIDITY ~
		S: * OK [UIDNEXT 3] ~
		S: * OK [HIGHESTMODSEQ ~
		S: * OK [MAILBOXID ~
		S: * LIST (\HasNoChildren) "/" INBOX
		S: d OK [READ-ONLY] EXAMINE completed
		C: e STORE 1 FLAGS ()
		S: e NO [READ-ONLY] ~
		C: f SELECT nowhere
		S: * OK [CLOSED] ~
		S: f NO [NONEXISTENT] ~
		C: g FETCH 1 FLAGS
		S: g BAD FETCH is not possible without a mailbox selected
		C: h LOGIN alice secret
		S: h BAD LOGIN is not possible after login
	`)
}

func TestManageMailboxes(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	c.talk(`
		C: a CREATE work/2024/
		S: a OK [MAILBOXID (F~)] CREATE completed
		C: b CREATE work
		S: b NO [ALREADYEXISTS] ~
		C: c CREATE "a&AOk-"
		S: c OK ~
		C: d STATUS "a&AOk-" (MESSAGES)
		S: * STATUS a&AOk- (MESSAGES 0)
		S: d OK ~
		C: e CREATE "a&zz"
		S: e BAD The mailbox name is not valid
		C: f LIST "" "w%"
		S: * LIST (\HasChildren) "/" work
		S: f OK ~
		C: g DELETE work
		S: g OK ~
		C: h LIST "" work*
		S: * LIST (\Noselect \HasChildren) "/" work
		S: * LIST (\HasNoChildren) "/" work/2024
		S: h OK ~
		C: i RENAME work/2024 play/2025
		S: i OK ~
		C: j LIST "" ("work*" "play*")
		S: * LIST (\HasChildren) "/" play
		S: * LIST (\HasNoChildren) "/" play/2025
		S: j OK ~
		C: k DELETE INBOX
		S: k NO [CANNOT] ~
		C: l DELETE gone
		S: l NO [NONEXISTENT] ~
		C: m ENABLE IMAP4rev2
		S: * ENABLED IMAP4rev2
		S: m OK ~
		C: n LIST "" a*
	`)
	if l := c.line(); l != "* LIST (\\HasNoChildren) \"/\" \"a\u00e9\"" {
		if l = c.line(); l != "* LIST (\\HasNoChildren) \"/\" \"a\u00e9\"" {
			t.Errorf("%q", l)
		}
	}
}

func TestList(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	c.talk(`
		C: a LIST "" ""
		S: * LIST (\Noselect) "/" ""
		S: a OK ~
		C: b LIST "" %
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasNoChildren \Archive) "/" Archive
		S: * LIST (\HasNoChildren \Drafts) "/" Drafts
		S: * LIST (\HasNoChildren \Junk) "/" Junk
		S: * LIST (\HasNoChildren \Sent) "/" Sent
		S: * LIST (\HasNoChildren \Trash) "/" Trash
		S: b OK ~
		C: c LIST "" inb%
		S: * LIST (\HasNoChildren) "/" INBOX
		S: c OK ~
		C: d LIST (SPECIAL-USE) "" "*S*" RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))
		S: * LIST (\HasNoChildren \Subscribed \Sent) "/" Sent
		S: * STATUS Sent (MESSAGES 0 UNSEEN 0)
		S: d OK ~
		C: e SUBSCRIBE x/y/z
		S: e OK ~
		C: f LIST (SUBSCRIBED RECURSIVEMATCH) "" x%
		S: * LIST (\NonExistent ~) "/" x ("CHILDINFO" ("SUBSCRIBED"))
		S: f OK ~
		C: g LSUB "" x%
		S: * LSUB (\Noselect) "/" x
		S: g OK ~
		C: h LSUB "x/" *
		S: * LSUB () "/" x/y/z
		S: h OK ~
		C: i LIST "" x*
		S: i OK ~
		C: j LIST (SUBSCRIBED) "" "x*"
		S: * LIST (\NonExistent \HasNoChildren \Subscribed) "/" x/y/z
		S: j OK ~
		C: k LIST (RECURSIVEMATCH) "" *
		S: k BAD ~
		C: l UNSUBSCRIBE x/y/z
		S: l OK ~
		C: m LSUB "" x*
		S: m OK ~
		C: n LIST () "" "" RETURN (CHILDREN)
		S: n OK ~
	`)
}

func TestStatus(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	c.appendMail("INBOX", `(\Seen) `, simple)
	c.appendMail("INBOX", `(\Deleted) `, simple)
	c.talk(fmt.Sprintf(`
		C: a STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MAILBOXID APPENDLIMIT)
		S: * STATUS INBOX (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY ~ UNSEEN 1 DELETED 1 SIZE %d HIGHESTMODSEQ ~ APPENDLIMIT 1048576 MAILBOXID (F~))
		S: a OK ~
		C: b STATUS nowhere (MESSAGES)
		S: b NO [NONEXISTENT] ~
		C: c STATUS INBOX (NOSUCH)
		S: c BAD ~
	`, 2*len(simple)))
}

func TestAppend(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.talk(fmt.Sprintf(`
		C: a APPEND INBOX (\Seen) {%d}
		S: + OK
	`, len(simple)))
	c.send(simple + "\r\n")
	c.talk(`
		S: * 1 EXISTS
		S: * 1 RECENT
		S: a OK [APPENDUID ~ 1] APPEND completed
		C: b APPEND nowhere {10}
		S: b NO [TRYCREATE] ~
		C: c APPEND nowhere {1+}
		C: x
		S: c NO [TRYCREATE] ~
		C: d APPEND INBOX {2000000}
		S: d NO [TOOBIG] ~
		C: e APPEND INBOX "text"
		S: e BAD ~
		C: f APPEND INBOX (\Nonsense) {1+}
		C: x
		S: f BAD ~
		C: g APPEND {5+}
		C: INBOX ($Kw) ~{10+}
		C: A: b
		C:
		C: cd
		S: * 2 EXISTS
		S: * 2 RECENT
		S: * FLAGS (~ $Kw)
		S: * OK [PERMANENTFLAGS ~
		S: g OK ~
	`)
	c.send("h APPEND INBOX {1500000+}\r\n" + strings.Repeat("0123456789\r\n", 125000) + "\r\n")
	c.talk(`
		S: h NO [TOOBIG] ~
		C: i NOOP
		S: i OK ~
	`)
}

func TestStoreAndExpunge(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	for range 4 {
		c.appendMail("INBOX", "", simple)
	}
	c.ok("SELECT INBOX") // \Recent no more
	c.talk(`
		C: a STORE 2:3 +FLAGS (\Deleted Mine)
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft Mine)
		S: * OK [PERMANENTFLAGS ~
		S: * 2 FETCH (FLAGS (\Deleted Mine))
		S: * 3 FETCH (FLAGS (\Deleted Mine))
		S: a OK STORE completed
		C: b UID STORE 3 -FLAGS.SILENT \Deleted
		S: b OK UID STORE completed
		C: c FETCH 1:* FLAGS
		S: * 1 FETCH (FLAGS ())
		S: * 2 FETCH (FLAGS (\Deleted Mine))
		S: * 3 FETCH (FLAGS (Mine))
		S: * 4 FETCH (FLAGS ())
		S: c OK ~
		C: d EXPUNGE
		S: * 2 EXPUNGE
		S: d OK ~
		C: e STORE 1,3 FLAGS.SILENT (\Deleted \Seen)
		S: e OK ~
		C: f UID EXPUNGE 4:*
		S: * 3 EXPUNGE
		S: f OK ~
		C: g UID FETCH 1:* FLAGS
		S: * 1 FETCH (UID 1 FLAGS (\Deleted \Seen))
		S: * 2 FETCH (UID 3 FLAGS (Mine))
		S: g OK ~
		C: h STORE 7 FLAGS ()
		S: h BAD ~
		C: i STORE 1 FLAGS (\Bogus)
		S: i BAD ~
		C: j CLOSE
		S: j OK ~
		C: k STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 1)
		S: k OK ~
	`)
}

// A session learns what another one did, and only when it may be told.
func TestUpdates(t *testing.T) {
	h := newHouse(t)
	a, b := h.login("INBOX"), h.login("INBOX")
	for range 4 {
		a.appendMail("INBOX", "", simple)
	}
	b.talk(`
		C: a NOOP
		S: * 4 EXISTS
		S: a OK ~
	`)
	a.ok(`STORE 1 +FLAGS (\Flagged)`)
	a.ok(`STORE 2,4 +FLAGS.SILENT (\Deleted)`)
	a.ok(`EXPUNGE`)
	a.appendMail("INBOX", "", simple)
	a.ok(`STORE 2 +FLAGS (\Answered)`)
	b.talk(`
		# no EXPUNGE during FETCH, STORE, SEARCH by number: the old numbers stand
		C: b FETCH 1:* (UID FLAGS)
		S: * 1 FETCH (UID 1 FLAGS (\Flagged))
		S: * 2 FETCH (UID 2 FLAGS ())
		S: * 3 FETCH (UID 3 FLAGS (\Answered))
		S: * 4 FETCH (UID 4 FLAGS ())
		S: b OK ~
		C: c STORE 3 +FLAGS (\Seen)
		S: * 3 FETCH (FLAGS (\Answered \Seen))
		S: c OK ~
		C: d SEARCH ALL
		S: * SEARCH 1 3
		S: d OK ~
		C: e SEARCH SEEN
		S: * SEARCH 3
		S: e OK ~
		C: f FETCH 2 (UID BODY.PEEK[TEXT])
	`)
	if _, tagged := b.reply("f"); !strings.HasPrefix(tagged, "OK") && !strings.HasPrefix(tagged, "NO [EXPUNGEISSUED]") {
		t.Error(tagged)
	}
	b.talk(`
		C: g UID FETCH 3 FLAGS
		S: * 3 FETCH (UID 3 FLAGS (\Answered \Seen))
		S: * 2 EXPUNGE
		S: * 3 EXPUNGE
		S: * 3 EXISTS
		S: * 1 FETCH (FLAGS (\Flagged))
		S: * 2 FETCH (FLAGS (\Answered \Seen))
		S: g OK ~
		C: h FETCH 3 UID
		S: * 3 FETCH (UID 5)
		S: h OK ~
	`)
}

func TestCopyAndMove(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	for range 3 {
		c.appendMail("INBOX", `(\Flagged Kw) `, simple)
	}
	c.ok("SELECT INBOX") // \Recent no more
	c.talk(`
		C: a COPY 1,3 nowhere
		S: a NO [TRYCREATE] ~
		C: b COPY 1,3 Archive
		S: b OK [COPYUID ~ 1,3 1:2] COPY completed
		C: c MOVE 2:3 Archive
		S: * OK [COPYUID ~ 2:3 3:4] Moved
		S: * 2 EXPUNGE
		S: * 2 EXPUNGE
		S: c OK MOVE completed
		C: d UID COPY 77 Archive
		S: d OK UID COPY completed
		C: e UID MOVE 1 INBOX
	`)
	if _, tagged := c.reply("e"); tagged == "" {
		t.Error(tagged)
	}
	c.talk(`
		C: f EXAMINE Archive
	`)
	c.reply("f")
	c.talk(`
		C: g FETCH 1:4 (FLAGS RFC822.SIZE)
		S: * 1 FETCH (FLAGS (\Recent \Flagged Kw) RFC822.SIZE ~)
		S: * 2 FETCH (FLAGS (\Recent \Flagged Kw) ~
		S: * 3 FETCH (FLAGS (\Recent \Flagged Kw) ~
		S: * 4 FETCH (FLAGS (\Recent \Flagged Kw) ~
		S: g OK ~
		C: h MOVE 1 INBOX
		S: h NO [READ-ONLY] ~
	`)
}

func TestIdle(t *testing.T) {
	h := newHouse(t)
	a, b := h.login(""), h.login("INBOX")
	b.talk(`
		C: i IDLE
		S: + idling
	`)
	a.appendMail("INBOX", "", simple)
	b.talk(`
		S: * 1 EXISTS
		S: * 1 RECENT
	`)
	a.ok(`SELECT INBOX`)
	a.ok(`STORE 1 +FLAGS (\Deleted)`)
	b.talk(`S: * 1 FETCH (FLAGS (\Recent \Deleted))`)
	a.ok(`EXPUNGE`)
	b.talk(`
		S: * 1 EXPUNGE
		S: * 0 RECENT
		C: done
		S: i OK IDLE completed
		C: j IDLE
		S: + idling
		C: k NOOP
		S: j BAD Expected DONE
	`)
	c := h.login("") // nothing selected: nothing to say
	c.talk(`
		C: i IDLE
		S: + idling
		C: DONE
		S: i OK ~
	`)
}

func TestDeletedUnderSession(t *testing.T) {
	h := newHouse(t)
	a := h.login("")
	a.ok("CREATE tmp")
	b, d := h.login("tmp"), h.login("tmp")
	b.talk("C: i IDLE\nS: + idling")
	a.ok("SELECT tmp")
	if lines := a.ok("DELETE tmp"); !contains(lines, "* OK [CLOSED] ~") {
		t.Error(lines)
	}
	a.ok("NOOP")
	b.talk("S: * BYE The selected mailbox was deleted")
	b.closed()
	d.talk("C: a NOOP\nS: * BYE The selected mailbox was deleted") // the last word
	d.closed()
}
