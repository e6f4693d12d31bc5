package imapd

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"posthouse/internal/message"
)

// digest is n messages with ten recipients each; the text of the last but one is encoded.
func digest(n int) string {
	var b strings.Builder
	b.WriteString("Subject: digest\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n")
	for i := range n {
		var to []string
		for j := range 10 {
			to = append(to, fmt.Sprintf(`"User Name %d" <user.name%d@host%d.example>`, j, j, 10*i+j))
		}
		fmt.Fprintf(&b, "--b\r\n\r\nFrom: \"Some Body\" <somebody%d@example.org>\r\nTo: %s\r\nSubject: msg number %d of this digest\r\nMessage-ID: <%d.abcdef@mail.example.org>\r\n",
			i, strings.Join(to, ",\r\n "), i, i)
		if i == n-2 {
			b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("a zebra crossing")) + "\r\n")
		} else {
			fmt.Fprintf(&b, "\r\nbody %d\r\n", i)
		}
	}
	return b.String() + "--b--\r\n"
}

// whole is a command's answer in one piece.
func (c *client) whole(command string) string {
	c.t.Helper()
	return strings.Join(c.ok(command), "\r\n")
}

// What does not fit into the row beside a message's index entry is there all the same.
func TestLargeStructures(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", digest(100))
	var attached strings.Builder
	attached.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 500 {
		name := fmt.Sprintf("photo %04d %s.jpeg", i, strings.Repeat("x", 150))
		fmt.Fprintf(&attached, "--b\r\nContent-Type: image/jpeg; name=\"%s\"\r\nContent-Disposition: attachment; filename=\"%s\"\r\n\r\ndata\r\n", name, name)
	}
	c.appendMail("INBOX", "", attached.String()+"--b--\r\n")
	var to []string
	for i := range 3000 {
		to = append(to, fmt.Sprintf("User Number %d <user%d@some-host-%d.example>", i, i, i))
	}
	long := strings.Repeat("0123456789abcdef", 6000)
	c.appendMail("INBOX", "", "To: "+strings.Join(to, ",\r\n ")+"\r\nX-Before: "+strings.Repeat("v", 300<<10)+"\r\nSubject: "+long+
		"END\r\nMessage-ID: <"+long+"@END>\r\nContent-Type: text/html; name=\""+long+"END\"\r\n\r\nx\r\n")
	var nested strings.Builder
	for i := range 99 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	c.appendMail("INBOX", "", nested.String()+"\r\ndeep\r\n")
	c.ok("NOOP")

	for _, tt := range []struct {
		fetch, holds string
		times        int
	}{
		{"1 BODYSTRUCTURE", `"msg number `, 100},
		{"1 BODYSTRUCTURE", `"User Name `, 1000},
		{"1 (ENVELOPE BODY)", `"msg number `, 100},
		{"1 ENVELOPE", `"digest"`, 1},
		{"1 BODY.PEEK[100.TEXT]", "body 99", 1},
		{"1 BODY.PEEK[100.1]", "body 99", 1},
		{"1 BINARY.PEEK[99]", "zebra", 0}, // it is a message: its parts are encoded, not it
		{"2 BODYSTRUCTURE", `.jpeg"`, 1000},
		{"2 BODYSTRUCTURE", `"attachment"`, 500},
		{"2 BODY.PEEK[500.MIME]", "photo 0499", 2},
		{"3 ENVELOPE", "some-host-", 3000},
		{"3 (ENVELOPE BODYSTRUCTURE)", "END", 3},
		{"3 BODY", `"html"`, 1},
		{"3 RFC822.HEADER", "END", 3},
		{"4 BODYSTRUCTURE", `"mixed"`, 99},
		{"4 BODY.PEEK[" + strings.Repeat("1.", 98) + "1]", "deep", 1},
	} {
		if n := strings.Count(c.whole("FETCH "+tt.fetch), tt.holds); n != tt.times {
			t.Errorf("FETCH %s: %q comes %d times, want %d", tt.fetch, tt.holds, n, tt.times)
		}
	}
	for keys, want := range map[string]string{
		`TEXT "msg number 60 "`: " 1", `BODY "msg number 99 "`: " 1", "BODY zebra": " 1", "SUBJECT digest": " 1", `TEXT "photo 0499"`: " 2",
		"TO some-host-2999": " 3", "SUBJECT defEND": " 3", `HEADER Message-ID "@END"`: " 3", "BODY deep": " 4", "TEXT nowhere": "",
	} {
		if got := c.whole("SEARCH " + keys); got != "* SEARCH"+want {
			t.Errorf("SEARCH %s: %q, want%s", keys, got, want)
		}
	}
}

// What lies beyond the parts that the house tells apart is searched as it is.
func TestSearchBeyondParts(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n"+strings.Repeat("--b\r\n\r\nx\r\n", message.MaxParts)+"--b\r\n\r\nzebra\r\n--b--\r\n")
	c.appendMail("INBOX", "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\nzebra\r\n")
	if got := c.whole("SEARCH BODY zebra"); got != "* SEARCH 1" { // the epilogue of the second is no text
		t.Errorf("%q", got)
	}
}

// An empty field is not an absent one (RFC 9051 section 7.5.2).
func TestEmptyEnvelopeFields(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", "Date:\r\nSubject:\r\nIn-Reply-To: \r\nMessage-ID: \r\nTo:\r\n\r\nx")
	c.appendMail("INBOX", "", "X: y\r\n\r\nx")
	c.ok("SELECT INBOX")
	c.talk(`
		C: a FETCH 1:2 ENVELOPE
		S: * 1 FETCH (ENVELOPE ("" "" NIL NIL NIL NIL NIL NIL "" ""))
		S: * 2 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))
		S: a OK ~
	`)
}

// Of what RFC 2231 lets a client write only continuations are joined (section 6).
func TestStructureKeepsEncodedParameters(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", "Content-Type: text/plain; charset*=us-ascii''utf-8; name*=utf-8'de'%e2%82%ac.txt;\r\n a*0*=utf-8''%c3; a*1=x; long*0=one; long*1=\" two\"\r\n"+
		"Content-Disposition: attachment; filename=e.txt; filename*=utf-8''%e2%82%ac.txt\r\n\r\ncaf\u00e9")
	c.ok("SELECT INBOX")
	c.talk(`
		C: a FETCH 1 BODYSTRUCTURE
		S: * 1 FETCH (BODYSTRUCTURE ("text" "plain" ("charset*" "us-ascii''utf-8" "name*" "utf-8'de'%e2%82%ac.txt" "a*" "utf-8''%c3x" "long" "one two") NIL NIL "7BIT" 5 0 NIL ("attachment" ("filename" "e.txt" "filename*" "utf-8''%e2%82%ac.txt")) NIL NIL))
		S: a OK ~
		C: b SEARCH CHARSET UTF-8 BODY {5+}
		C: café
		S: * SEARCH 1
		S: b OK ~
	`)
}
