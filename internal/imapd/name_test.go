package imapd

import (
	"strings"
	"testing"
)

// A name is kept in NFC; whoever gives another form finds the mailbox, and hears
// its name (RFC 9051 sections 5.1 and 6.3.9.7).
func TestDenormalisedNames(t *testing.T) {
	const nfd, nfc = "Ame\u0301lie", "Am\u00e9lie"
	h := newHouse(t)
	c := h.login("")
	c.ok("ENABLE IMAP4rev2")
	script := strings.NewReplacer("NFD", nfd, "NFC", nfc)
	c.talk(script.Replace(`
		C: a CREATE "NFD/"
		S: * LIST () "/" "NFC" ("OLDNAME" ("NFD"))
		S: a OK ~
		C: b CREATE "NFC/x"
		S: b OK ~
		C: c LIST "" "NFD"
		S: * LIST (\HasChildren) "/" "NFC"
		S: c OK ~
		C: d LIST "NFD" (/% *)
		S: * LIST (\HasChildren) "/" "NFC"
		S: * LIST (\HasNoChildren) "/" "NFC/x"
		S: d OK ~
		C: e STATUS "NFD" (MESSAGES)
		S: * STATUS "NFD" (MESSAGES 0)
		S: e OK ~
		C: f APPEND "NFD" {5+}
		C: A: b
		S: * LIST () "/" "NFC" ("OLDNAME" ("NFD"))
		S: f OK ~
		C: g RENAME "NFD" "to NFD/y"
		S: * LIST () "/" "to NFC/y" ("OLDNAME" ("NFD"))
		S: g OK ~
		C: h RENAME "to NFC/y" plain
		S: h OK ~
		C: i RENAME plain "NFD"
		S: * LIST () "/" "NFC" ("OLDNAME" (plain))
		S: i OK ~
		C: j RENAME inbox old
		S: j OK ~
	`))
	for _, cmd := range []string{"SELECT", "EXAMINE"} {
		for given, list := range map[string]string{
			nfd: `(\HasChildren) "/" "` + nfc + `" ("OLDNAME" ("` + nfd + `"))`, nfc: `(\HasChildren) "/" "` + nfc + `"`,
			"inbox": `(\HasNoChildren) "/" INBOX ("OLDNAME" (inbox))`, "INBOX": `(\HasNoChildren) "/" INBOX`, "Trash": `(\HasNoChildren \Trash) "/" Trash`,
		} {
			if lines := c.ok(cmd + ` "` + given + `"`); lines[len(lines)-1] != "* LIST "+list {
				t.Errorf("%s %q: %q", cmd, given, lines)
			}
		}
	}
	c.ok("DELETE \"" + nfc + "/x\"")
	c.ok(`SELECT "` + nfc + `"`)
	c.talk(script.Replace(`
		C: k DELETE "NFD"
		S: * OK [CLOSED] ~
		S: * LIST (\NonExistent) "/" "NFC" ("OLDNAME" ("NFD"))
		S: k OK ~
	`))
	// A client of IMAP4rev1 would not know what to make of that.
	old := h.login("")
	old.talk(script.Replace(`
		C: a CREATE "NFD"
		S: a OK ~
		C: b LIST "" "NFD"
		S: * LIST (\HasNoChildren) "/" Am&AOk-lie
		S: b OK ~
	`))
}
