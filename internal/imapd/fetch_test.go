package imapd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// nested is a message with a multipart, a message inside, and encoded parts.
var nested = strings.ReplaceAll(`From: "Ann Example" <ann@example.org>
To: undisclosed:;, Bob <bob@example.test>
Subject: =?utf-8?q?caf=C3=A9?=
Date: Mon, 6 May 2024 07:00:00 +0000
Message-ID: <n@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

preamble
--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9 =
joined
--b1
Content-Type: application/octet-stream; name="x.bin"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="x.bin"

AAEC
AwQF
--b1
Content-Type: message/rfc822

Subject: inner
From: c@example.org
Content-Type: multipart/alternative; boundary=b2

--b2
Content-Type: text/plain

inner text
--b2
Content-Type: text/html
X-Other: yes

<b>inner</b>
--b2--

--b1
Content-Type: text/x-odd
Content-Transfer-Encoding: x-unknown

odd
--b1--
epilogue
`, "\n", "\r\n")

// sections are what a FETCH of each must give.
var sections = map[string]string{
	"BODY[]":          nested,
	"BODY[HEADER]":    nested[:strings.Index(nested, "preamble")],
	"BODY[TEXT]":      nested[strings.Index(nested, "preamble"):],
	"BODY[1]":         "caf=C3=A9 =\r\njoined",
	"BODY[1.MIME]":    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
	"BODY[2]":         "AAEC\r\nAwQF",
	"BODY[3.HEADER]":  "Subject: inner\r\nFrom: c@example.org\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n",
	"BODY[3.1]":       "inner text",
	"BODY[3.2.MIME]":  "Content-Type: text/html\r\nX-Other: yes\r\n\r\n",
	"BODY[3.2]":       "<b>inner</b>",
	"BODY[3.TEXT]":    "--b2\r\nContent-Type: text/plain\r\n\r\ninner text\r\n--b2\r\nContent-Type: text/html\r\nX-Other: yes\r\n\r\n<b>inner</b>\r\n--b2--\r\n",
	"BODY[1]<0.4>":    "caf=",
	"BODY[1]<4.100>":  "C3=A9 =\r\njoined",
	"BODY[1]<400.10>": "",
	// Numbers of 63 bits (RFC 9051 section 9).
	"BODY[1]<4.9223372036854775807>":            "C3=A9 =\r\njoined",
	"BODY[1]<9223372036854775807.1>":            "",
	"BINARY[2]<2.9223372036854775807>":          "\x02\x03\x04\x05",
	"BINARY[2]<9223372036854775807.1>":          "",
	"BODY[HEADER.FIELDS (SUBJECT X-None date)]": "Subject: =?utf-8?q?caf=C3=A9?=\r\nDate: Mon, 6 May 2024 07:00:00 +0000\r\n\r\n",
	"BODY[HEADER.FIELDS (X-None)]":              "\r\n",
	"BODY[3.HEADER.FIELDS.NOT (Content-Type)]":  "Subject: inner\r\nFrom: c@example.org\r\n\r\n",
	"BINARY[1]":      "caf\u00e9 joined",
	"BINARY[2]":      "\x00\x01\x02\x03\x04\x05",
	"BINARY[2]<2.3>": "\x02\x03\x04",
	"BINARY[3.1]":    "inner text",
	"BINARY[]":       nested,
}

// literal sends a FETCH of one item of message 1 and gives its data.
func (c *client) literal(item string) (name, data string) {
	c.t.Helper()
	c.send("z FETCH 1 (" + strings.Replace(item, "[", ".PEEK[", 1) + ")\r\n")
	l := c.line()
	name = strings.TrimPrefix(l[:strings.LastIndexByte(l, ' ')], "* 1 FETCH (")
	var n int
	for _, d := range strings.Trim(l[strings.LastIndexByte(l, ' ')+1:], "~{}") {
		n = 10*n + int(d-'0')
	}
	buf := make([]byte, n)
	_, err := io.ReadFull(c.r, buf)
	must(c.t, err)
	if rest := c.line(); rest != ")" {
		c.t.Errorf("%s: after the literal: %q", item, rest)
	}
	if _, tagged := c.reply("z"); !strings.HasPrefix(tagged, "OK") {
		c.t.Errorf("%s: %s", item, tagged)
	}
	return name, string(buf)
}

func TestFetchSections(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.appendMail("INBOX", "", nested)
	c.ok("SELECT INBOX") // \Recent no more
	for item, want := range sections {
		name, got := c.literal(item)
		if got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", item, got, want)
		}
		if i := strings.IndexByte(item, '<'); i > 0 { // the origin, not the count
			item = item[:strings.LastIndexByte(item, '.')] + ">"
		}
		if name != item {
			t.Errorf("named %q, want %q", name, item)
		}
	}
	c.talk(`
		C: a FETCH 1 (BODY[9] BODY[1.2] BODY.PEEK[2.HEADER] BINARY.SIZE[2] BINARY.SIZE[1])
		S: * 1 FETCH (FLAGS (\Seen) BODY[9] NIL BODY[1.2] NIL BODY[2.HEADER] NIL BINARY.SIZE[2] 6 BINARY.SIZE[1] 12)
		S: a OK ~
		C: b FETCH 1 BINARY.PEEK[4]
		S: * 1 FETCH (BINARY[4] NIL)
		S: b NO [UNKNOWN-CTE] ~
		C: b2 FETCH 1 BINARY.SIZE[4]
		S: * 1 FETCH (UID 1)
		S: b2 NO [UNKNOWN-CTE] ~
		C: b3 FETCH 1 (BINARY.SIZE[4] BINARY.SIZE[9] FLAGS)
		S: * 1 FETCH (FLAGS (\Seen) BINARY.SIZE[9] 0)
		S: b3 NO [UNKNOWN-CTE] ~
		C: c FETCH 1 BODY
		S: * 1 FETCH (BODY (("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 19 ~)("application" "octet-stream" ("name" "x.bin") NIL NIL "base64" 10)("message" "rfc822" NIL NIL NIL "7BIT" ~ (NIL "inner" ((NIL NIL "c" "example.org")) ((NIL NIL "c" "example.org")) ((NIL NIL "c" "example.org")) NIL NIL NIL NIL NIL) (("text" "plain" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 10 ~)("text" "html" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 12 ~) "alternative") ~)("text" "x-odd" ("CHARSET" "US-ASCII") NIL NIL "x-unknown" 3 ~) "mixed"))
		S: c OK ~
		C: d FETCH 1 ENVELOPE
		S: * 1 FETCH (ENVELOPE ("Mon, 6 May 2024 07:00:00 +0000" "=?utf-8?q?caf=C3=A9?=" (("Ann Example" NIL "ann" "example.org")) (("Ann Example" NIL "ann" "example.org")) (("Ann Example" NIL "ann" "example.org")) ((NIL NIL "undisclosed" NIL)(NIL NIL NIL NIL)("Bob" NIL "bob" "example.test")) NIL NIL NIL "<n@example.org>"))
		S: d OK ~
		C: e UID FETCH 1 FAST
		S: * 1 FETCH (UID 1 FLAGS (\Seen) INTERNALDATE "06-May-2024 07:08:09 +0000" RFC822.SIZE ~)
		S: e OK ~
		C: f FETCH 1 (EMAILID THREADID SAVEDATE)
		S: * 1 FETCH (EMAILID (M~) THREADID (T~) SAVEDATE "06-May-2024 07:08:09 +0000")
		S: f OK ~
	`)
}

func TestFetchSetsSeen(t *testing.T) {
	h := newHouse(t)
	c, d := h.login("INBOX"), h.login("INBOX")
	for range 3 {
		c.appendMail("INBOX", "", "A: b\r\n\r\nc\r\n")
	}
	d.ok("NOOP")
	c.ok("SELECT INBOX") // \Recent no more
	c.talk(`
		C: a FETCH 1 BODY.PEEK[TEXT]
		S: * 1 FETCH (BODY[TEXT] {3}
		S: c
		S: )
		S: a OK ~
		C: b FETCH 1:2 (RFC822.TEXT)
		S: * 1 FETCH (FLAGS (\Seen) RFC822.TEXT {3}
		S: c
		S: )
		S: * 2 FETCH (FLAGS (\Seen) RFC822.TEXT {3}
		S: c
		S: )
		S: b OK ~
		C: c FETCH 2 (FLAGS BODY[TEXT])
		S: * 2 FETCH (FLAGS (\Seen) BODY[TEXT] {3}
		S: c
		S: )
		S: c OK ~
		C: d EXAMINE INBOX
	`)
	c.reply("d")
	c.talk(`
		C: e FETCH 3 RFC822
		S: * 3 FETCH (RFC822 {11}
		S: A: b
		S:
		S: c
		S: )
		S: e OK ~
		C: f SEARCH UNSEEN
		S: * SEARCH 3
		S: f OK ~
	`)
	d.talk(`
		C: a NOOP
		S: * 1 FETCH (FLAGS (\Seen))
		S: * 2 FETCH (FLAGS (\Seen))
		S: a OK ~
	`)
}

func TestFetchErrors(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.talk(`
		C: a FETCH 1:* FLAGS
		S: a OK ~
		C: b FETCH 1 FLAGS
		S: b BAD ~
		C: c UID FETCH 1:5 FLAGS
		S: c OK ~
		C: d FETCH 1 NOSUCH
		S: d BAD Unknown fetch item NOSUCH
		C: e FETCH 1 (FLAGS ALL)
		S: e BAD ~
		C: f FETCH 0 FLAGS
		S: f BAD ~
		C: g FETCH 1 BODY[MIME]
		S: g BAD ~
		C: h FETCH 1 BODY[]<1.0>
		S: h BAD ~
		C: i FETCH 1 BINARY[TEXT]
		S: i BAD ~
	`)
}

// What arrives is what is given back, whatever it looks like.
func TestBytesStayAsTheyAre(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	for _, m := range []string{
		"\r\n", "x", "no colon\r\n\r\nbody", "A: b\r\n", "Subject: \x80\xff\r\n\r\n\xfe\r\n", "bare\nlines\n\nin\rhere\n",
		"A: b\r\n\r\n" + strings.Repeat("y", 300000), "A: b\r\n\r\n.\r\n..\r\n)\r\n",
	} {
		c.appendMail("INBOX", "", m)
		if _, got := c.literal("BODY[]"); got != m {
			t.Errorf("%.40q came back as %.40q", m, got)
		}
		c.send("q FETCH 1 (ENVELOPE BODYSTRUCTURE)\r\n")
		if _, tagged := c.reply("q"); !strings.HasPrefix(tagged, "OK") {
			t.Error(tagged)
		}
		c.ok(`STORE 1 +FLAGS.SILENT (\Deleted)`)
		c.ok("EXPUNGE")
	}
}

// Somebody else's client reads what we say.
func TestOtherClient(t *testing.T) {
	h := newHouse(t)
	c, err := imapclient.DialInsecure(h.addr, nil)
	must(t, err)
	defer c.Close()
	must(t, c.Login("alice", "secret").Wait())
	_, err = c.Enable(imap.CapIMAP4rev2).Wait()
	must(t, err)
	must(t, c.Create("\u00fcber/\u65e5\u672c & co", nil).Wait())
	app := c.Append("INBOX", int64(len(nested)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "$Label"}})
	_, err = io.WriteString(app, nested)
	must(t, err)
	must(t, app.Close())
	appended, err := app.Wait()
	must(t, err)
	if appended.UID != 1 {
		t.Errorf("UID %d", appended.UID)
	}
	boxes, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	must(t, err)
	found := false
	for _, b := range boxes {
		found = found || b.Mailbox == "\u00fcber/\u65e5\u672c & co"
	}
	if !found || len(boxes) != 8 {
		t.Errorf("listed %d, found %v", len(boxes), found)
	}
	sel, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	if sel.NumMessages != 1 || sel.HighestModSeq == 0 || sel.UIDNext != 2 {
		t.Errorf("%+v", sel)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	bin := &imap.FetchItemBinarySection{Part: []int{2}, Peek: true}
	msgs, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, Flags: true, UID: true, RFC822Size: true,
		InternalDate: true, ModSeq: true, BodySection: []*imap.FetchItemBodySection{whole}, BinarySection: []*imap.FetchItemBinarySection{bin},
	}).Collect()
	must(t, err)
	m := msgs[0]
	if got := m.FindBodySection(whole); string(got) != nested {
		t.Errorf("body differs: %q", got)
	}
	if got := m.FindBinarySection(bin); !bytes.Equal(got, []byte{0, 1, 2, 3, 4, 5}) {
		t.Errorf("binary %q", got)
	}
	if m.Envelope.Subject != "caf\u00e9" || len(m.Envelope.From) != 1 || m.RFC822Size != int64(len(nested)) || m.UID != 1 {
		t.Errorf("%+v", m.Envelope)
	}
	var types []string
	m.BodyStructure.Walk(func(_ []int, p imap.BodyStructure) bool {
		types = append(types, p.MediaType())
		return true
	})
	if got := strings.Join(types, " "); got != "multipart/mixed text/plain application/octet-stream message/rfc822 text/x-odd" &&
		got != "multipart/mixed text/plain application/octet-stream message/rfc822 multipart/alternative text/plain text/html text/x-odd" {
		t.Error(got)
	}
	res, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "caf\u00e9"}}},
		&imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	must(t, err)
	if res.Count != 1 || len(res.AllUIDs()) != 1 {
		t.Errorf("%+v", res)
	}
	must(t, c.Logout().Wait())
}

// A literal has no NUL in it (RFC 9051 section 9, CHAR8); a message may.
func TestNULInLiterals(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	msg := "Subject: a\x00b\r\nX: y\r\n\r\none\x00\x00two\x00"
	c.send(fmt.Sprintf("x APPEND INBOX ~{%d+}\r\n%s\r\n", len(msg), msg))
	if _, tagged := c.reply("x"); !strings.HasPrefix(tagged, "OK") {
		t.Fatal(tagged)
	}
	masked := strings.ReplaceAll(msg, "\x00", "\x80")
	for item, want := range map[string]string{
		"BODY[]":                        masked,
		"BODY[TEXT]<3.2>":               "\x80\x80",
		"BODY[HEADER.FIELDS (SUBJECT)]": "Subject: a\x80b\r\n\r\n",
		"BINARY[1]":                     "one\x00\x00two\x00",
	} {
		if _, got := c.literal(item); got != want {
			t.Errorf("%s: %q, want %q", item, got, want)
		}
	}
}

// A message that is encoded is shown as an empty one, and can be fetched as such;
// its own part has the code.
func TestEncodedMessageInside(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg==\r\n--b--\r\n")
	c.ok("SELECT INBOX") // \Recent no more
	if lines := c.ok("FETCH 1 BODY"); !contains(lines, `~("message" "rfc822" NIL NIL NIL "base64" 8 (NIL ~) ("TEXT" "PLAIN" ~ 0 0) ~`) {
		t.Errorf("%q", lines)
	}
	for item, want := range map[string]string{
		"BODY[1]": "QTogYg==", "BINARY[1]": "A: b", "BODY[1.1]": "", "BINARY[1.1]": "", "BODY[1.HEADER]": "", "BODY[1.TEXT]": "", "BODY[1.1.MIME]": "",
	} {
		if _, got := c.literal(item); got != want {
			t.Errorf("%s: %q, want %q", item, got, want)
		}
	}
	c.talk("C: a FETCH 1 (BODY.PEEK[1.2] BODY.PEEK[1.1.1] BINARY.SIZE[1.1])\nS: * 1 FETCH (BODY[1.2] NIL BODY[1.1.1] NIL BINARY.SIZE[1.1] 0)\nS: a OK ~")
}
