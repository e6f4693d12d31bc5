package report

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const header = "From: Alice <alice@example.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <m1@example.test>\r\n\r\n"

var sent = id.New(noon.Add(-time.Hour))

func sample() *DSN {
	return &DSN{
		ID: id.New(noon), Hostname: "mx.example.test", To: smtp.Address{Local: "alice", Domain: "example.test"}, Date: noon,
		Original:  &envelope.Envelope{ID: sent, Received: noon.Add(-time.Hour), EnvID: "E+1"},
		MessageID: "<m1@example.test>",
		Message:   []byte(header + "the body\r\n"), Whole: true,
		Rcpts: []Rcpt{{
			Rcpt:   envelope.Rcpt{To: smtp.Address{Local: "bob", Domain: "example.net"}, ORcpt: "rfc822;bobby@example.net"},
			Action: Failed, Status: status.Enhanced{Class: 5, Subject: 1, Detail: 1},
			Code: 550, Enhanced: status.Enhanced{Class: 5, Subject: 1, Detail: 1}, Text: "No such user here", Remote: true,
			Host: "mx1.example.net", LastAttempt: noon, Attempts: 3,
		}},
	}
}

// parse takes a report apart with the standard library.
func parse(t *testing.T, d *DSN) (mail.Header, []*multipart.Part, []string) {
	t.Helper()
	var out bytes.Buffer
	n, err := d.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, out.Len(), err)
	}
	for line := range bytes.Lines(out.Bytes()) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 1000 {
			t.Fatalf("bad line %q", line)
		}
	}
	m, err := mail.ReadMessage(&out)
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %s %v, %v", kind, params, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	var parts []*multipart.Part
	var bodies []string
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		parts, bodies = append(parts, p), append(bodies, string(text))
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	return m.Header, parts, bodies
}

// fields reads the groups of a delivery status.
func fields(t *testing.T, text string) []textproto.MIMEHeader {
	t.Helper()
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(text + "\r\n\r\n")))
	var groups []textproto.MIMEHeader
	for {
		h, err := r.ReadMIMEHeader()
		if len(h) == 0 {
			return groups
		}
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		groups = append(groups, h)
	}
}

func TestFailureReport(t *testing.T) {
	h, parts, bodies := parse(t, sample())
	for name, want := range map[string]string{
		"Auto-Submitted": "auto-replied", "In-Reply-To": "<m1@example.test>", "References": "<m1@example.test>", "To": "alice@example.test",
	} {
		if got := strings.Trim(h.Get(name), "<>"); got != strings.Trim(want, "<>") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s, _ := new(mime.WordDecoder).DecodeHeader(h.Get("Subject")); s != "Not delivered: Grüße" {
		t.Errorf("subject %q", s)
	}
	for _, want := range []string{"will not be", "bob@example.net", "You wrote to bobby@example.net", "no such address", "ask the recipient", "mx1.example.net answered: 550 5.1.1 No such user here", "Tried 3 times", "Grüße"} {
		if !strings.Contains(bodies[0], want) {
			t.Errorf("text lacks %q:\n%s", want, bodies[0])
		}
	}
	if kind := parts[1].Header.Get("Content-Type"); kind != "message/delivery-status" {
		t.Errorf("status part is %q", kind)
	}
	groups := fields(t, bodies[1])
	if len(groups) != 2 {
		t.Fatalf("%d groups in %q", len(groups), bodies[1])
	}
	for name, want := range map[string]string{
		"Original-Envelope-Id": "E+1", "Reporting-Mta": "dns; mx.example.test", "Arrival-Date": "Sun, 1 Mar 2026 11:00:00 +0000",
	} {
		if got := groups[0].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"Original-Recipient": "rfc822; bobby@example.net", "Final-Recipient": "rfc822; bob@example.net", "Action": "failed",
		"Status": "5.1.1", "Remote-Mta": "dns; mx1.example.net", "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
		"Last-Attempt-Date": "Sun, 1 Mar 2026 12:00:00 +0000", "Will-Retry-Until": "", "Final-Log-Id": string(sent),
	} {
		if got := groups[1].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if kind := parts[2].Header.Get("Content-Type"); kind != "text/rfc822-headers" {
		t.Errorf("third part is %q", kind)
	}
	if strings.Contains(bodies[2], "the body") || !strings.Contains(bodies[2], "Message-ID: <m1@example.test>") {
		t.Errorf("third part: %q", bodies[2])
	}
}

func TestDelayReport(t *testing.T) {
	d := sample()
	r := &d.Rcpts[0]
	r.Action, r.Status, r.Code, r.Enhanced = Delayed, status.Enhanced{Class: 4, Subject: 4, Detail: 1}, 451, status.Enhanced{}
	r.Text, r.Remote, r.Host, r.RetryUntil = "Connection failed: timed out", false, "mx1.example.net", noon.Add(96*time.Hour)
	h, _, bodies := parse(t, d)
	if s, _ := new(mime.WordDecoder).DecodeHeader(h.Get("Subject")); !strings.HasPrefix(s, "Delayed") {
		t.Errorf("subject %q", s)
	}
	if !strings.Contains(bodies[0], "need\r\nnot send it again") {
		t.Errorf("text:\n%s", bodies[0])
	}
	g := fields(t, bodies[1])[1]
	if g.Get("Action") != "delayed" || g.Get("Will-Retry-Until") != "Thu, 5 Mar 2026 12:00:00 +0000" || g.Get("Status") != "4.4.1" {
		t.Errorf("fields %v", g)
	}
	if got := g.Get("Diagnostic-Code"); strings.HasPrefix(got, "smtp;") {
		t.Errorf("words of ours are given as the remote's: %q", got)
	}
}

func TestWholeMessageOnRequest(t *testing.T) {
	d := sample()
	d.Original.Ret = "FULL"
	_, parts, bodies := parse(t, d)
	if parts[2].Header.Get("Content-Type") != "message/rfc822" || strings.TrimSuffix(bodies[2], "\r\n") != strings.TrimSuffix(string(d.Message), "\r\n") {
		t.Errorf("%v %q", parts[2].Header, bodies[2])
	}
	d.Whole = false
	if _, parts, _ = parse(t, d); parts[2].Header.Get("Content-Type") != "text/rfc822-headers" {
		t.Errorf("a part of a message was sent as the whole")
	}
	d.Whole, d.Message = true, []byte(header+"bare\nline\r\n")
	if _, parts, _ = parse(t, d); parts[2].Header.Get("Content-Type") != "text/rfc822-headers" {
		t.Errorf("a message that would be changed was sent as the whole")
	}
}

// Who sent with SMTPUTF8 gets the parts of RFC 6533.
func TestInternationalReport(t *testing.T) {
	d := sample()
	d.Original.UTF8 = true
	d.Message = []byte("Subject: Grüße\r\n\r\nbody\r\n")
	d.Rcpts[0].To = smtp.Address{Local: "böb", Domain: "exämple.net"}
	d.Rcpts[0].ORcpt = "utf-8;bäb@example.net"
	d.Rcpts[0].Text = "kein Müll"
	_, parts, bodies := parse(t, d)
	if kind := parts[1].Header.Get("Content-Type"); kind != "message/global-delivery-status" {
		t.Errorf("status part is %q", kind)
	}
	for _, want := range []string{"Final-Recipient: utf-8; böb@exämple.net", "Original-Recipient: utf-8; bäb@example.net", "Diagnostic-Code: smtp; 550 5.1.1 kein Müll"} {
		if !strings.Contains(bodies[1], want) {
			t.Errorf("status %q lacks %q", bodies[1], want)
		}
	}
	if kind := parts[2].Header.Get("Content-Type"); kind != "message/global-headers" || !strings.Contains(bodies[2], "Grüße") {
		t.Errorf("third part is %q: %q", kind, bodies[2])
	}
	if d.NeedsUTF8() {
		t.Error("a sender with an ASCII address needs no SMTPUTF8")
	}
	d.Original.Ret = "FULL"
	if _, parts, _ = parse(t, d); parts[2].Header.Get("Content-Type") != "message/global" {
		t.Errorf("third part is %v", parts[2].Header)
	}
	d.To = d.Rcpts[0].To
	if h, _, _ := parse(t, d); !d.NeedsUTF8() || !strings.Contains(h.Get("To"), "böb") {
		t.Errorf("To %q", h.Get("To"))
	}
}

// Who did not gets ASCII, whatever an alias led to.
func TestInternationalRecipientOfAnASCIISender(t *testing.T) {
	d := sample()
	d.Rcpts[0].To = smtp.Address{Local: "böb", Domain: "example.net"}
	d.Rcpts[0].ORcpt = "utf-8;b b+ä@example.net"
	d.Rcpts[0].Text = "kein Müll"
	_, parts, bodies := parse(t, d)
	if kind := parts[1].Header.Get("Content-Type"); kind != "message/delivery-status" {
		t.Errorf("status part is %q", kind)
	}
	g := fields(t, bodies[1])[1]
	if g.Get("Final-Recipient") != `utf-8; b\x{F6}b@example.net` || g.Get("Original-Recipient") != `utf-8; b\x{20}b\x{2B}\x{E4}@example.net` {
		t.Errorf("%v", g)
	}
	if g.Get("Diagnostic-Code") != "smtp; 550 5.1.1 kein M?ll" || !strings.Contains(bodies[0], "kein Müll") {
		t.Errorf("%v\n%s", g, bodies[0])
	}
}

// Whatever remote servers say and senders write, the report is well-formed.
func FuzzReport(f *testing.F) {
	f.Add([]byte(header), "No such user", "<m@x>", "E1", "rfc822;a@b", true, true)
	f.Add([]byte("Subject: \xff\xfe\nX: "+strings.Repeat("y", 2000)), strings.Repeat("long words ", 500), "<bad id>", "\r\nX: y", "utf-8;\r\nA: b", false, false)
	f.Add([]byte("\x00"), "ü\r\n.\r\n", "", "", "utf-8;ü@b", true, false)
	f.Fuzz(func(t *testing.T, head []byte, text, mid, envid, orcpt string, full, utf8 bool) {
		d := sample()
		d.Message, d.MessageID, d.Original.EnvID, d.Original.UTF8 = head, mid, envid, utf8
		d.Rcpts[0].Text, d.Rcpts[0].ORcpt, d.Rcpts[0].Hint = text, orcpt, text
		if full {
			d.Original.Ret = "FULL"
		}
		_, _, bodies := parse(t, d)
		if !full && len(fields(t, bodies[1])) != 2 {
			t.Fatalf("status %q", bodies[1])
		}
	})
}
