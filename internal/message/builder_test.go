package message

import (
	"bytes"
	"io"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// build writes a message and checks what holds for all of ours.
func build(t *testing.T, b *Builder) (string, *Summary) {
	t.Helper()
	var out bytes.Buffer
	n, err := b.WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(out.Len()) {
		t.Errorf("WriteTo says %d bytes, wrote %d", n, out.Len())
	}
	raw := out.String()
	for line := range strings.SplitSeq(strings.TrimSuffix(raw, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("bad line of %d bytes: %.100q", len(line), line)
		}
	}
	return raw, Parse([]byte(raw))
}

func TestBuilderReport(t *testing.T) {
	b := NewBuilder("abc@mx.example.test")
	b.Addresses("From", Address{Name: "Mail Delivery System", Mailbox: "MAILER-DAEMON", Host: "mx.example.test"})
	b.Addresses("To", Address{Mailbox: "john smith", Host: "example.org"}, Address{Name: "Jürgen \"J\"", Mailbox: "j", Host: "example.org"})
	b.Text("Subject", "Zustellung an grüße@example.net gescheitert: "+strings.Repeat("sehr lang ", 20))
	b.Date(time.Date(2024, 2, 3, 4, 5, 6, 0, time.FixedZone("", -3600)))
	b.MessageID("abc@mx.example.test")
	b.Field("Auto-Submitted", "auto-replied")
	b.Multipart("report", Param{"report-type", "delivery-status"})
	b.TextPart("It did not work.\n\nSorry: grüße\n")
	b.Part(BodyPart{Type: "message/delivery-status", Body: strings.NewReader("Reporting-MTA: dns; mx.example.test\n\nAction: failed\n")})
	b.Part(BodyPart{
		Type: "message/rfc822", Encoding: "8bit", Disposition: "attachment",
		DispParams: []Param{{"filename", "Größe.eml"}},
		Body:       strings.NewReader("Subject: old\r\n\r\nhé\rbare\n" + strings.Repeat("x", 2500)),
	})
	raw, s := build(t, b)
	checkSummary(t, []byte(raw), s)
	if s.UTF8Header || s.BareLines {
		t.Error("header not ASCII, or bare line ends")
	}
	if got := DecodeText(s.Envelope.Subject); got != "Zustellung an grüße@example.net gescheitert: "+strings.TrimSpace(strings.Repeat("sehr lang ", 20)) {
		t.Errorf("subject %q", got)
	}
	if got, ok := ParseDate(s.Envelope.Date); !ok || got.Unix() != 1706936706 {
		t.Errorf("date %v from %q", got, s.Envelope.Date)
	}
	if s.Envelope.MessageID != "<abc@mx.example.test>" {
		t.Errorf("message-id %q", s.Envelope.MessageID)
	}
	to := s.Envelope.To
	if len(to) != 2 || to[0].Mailbox != "john smith" || DecodeText(to[1].Name) != `Jürgen "J"` {
		t.Errorf("to %+v", to)
	}
	// What the standard library makes of it.
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := m.Header.AddressList("To"); err != nil || list[1].Name != `Jürgen "J"` {
		t.Errorf("net/mail reads %v, %v", list, err)
	}
	if typ, params, err := mime.ParseMediaType(m.Header.Get("Content-Type")); err != nil || typ != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Errorf("mime reads %v %v %v", typ, params, err)
	}
	parts := s.Root.Parts
	if len(parts) != 3 || parts[2].Message == nil || parts[2].Message.Envelope.Subject != "old" {
		t.Fatalf("parts %+v", parts)
	}
	text, _ := io.ReadAll(PartText(&parts[0], strings.NewReader(raw[parts[0].BodyStart:parts[0].BodyEnd])))
	if string(text) != "It did not work.\r\n\r\nSorry: grüße\r\n" {
		t.Errorf("text %q", text)
	}
	if name := parts[2].DispParams[0]; name.Name != "filename*" || decodeExtended(name.Value) != "Größe.eml" {
		t.Errorf("filename %q", name)
	}
}

func TestBuilderSinglePart(t *testing.T) {
	b := NewBuilder("x")
	b.AllowUTF8()
	b.Text("Subject", "Grüße")
	data := bytes.Repeat([]byte{0, 1, 2, 200}, 100)
	b.Part(BodyPart{Type: "application/octet-stream", Encoding: "base64", Body: bytes.NewReader(data)})
	raw, s := build(t, b)
	if s.Envelope.Subject != "Grüße" || !s.UTF8Header {
		t.Errorf("subject %q", s.Envelope.Subject)
	}
	got, err := io.ReadAll(DecodeTransfer(s.Root.Encoding, strings.NewReader(raw[s.Root.BodyStart:])))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("body %x, %v", got, err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	for name, set := range map[string]func(*Builder){
		"8-bit field":      func(b *Builder) { b.Field("X", "é"); b.TextPart("") },
		"bad name":         func(b *Builder) { b.Field("X:Y", "z"); b.TextPart("") },
		"name of two":      func(b *Builder) { b.Field("X\r\nY", "z"); b.TextPart("") },
		"no part":          func(*Builder) {},
		"unknown encoding": func(b *Builder) { b.Part(BodyPart{Type: "a/b", Encoding: "x", Body: strings.NewReader("")}) },
	} {
		b := NewBuilder("x")
		set(b)
		if _, err := b.WriteTo(io.Discard); err == nil {
			t.Error(name, "is accepted")
		}
	}
}

func TestAppendField(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"short", "N: short\r\n"},
		{"no\r\nInjection: x", "N: no  Injection: x\r\n"},
		{strings.Repeat("a", 70) + " " + strings.Repeat("b", 70), "N: " + strings.Repeat("a", 70) + "\r\n " + strings.Repeat("b", 70) + "\r\n"},
		{strings.Repeat("a", 100) + " b", "N: " + strings.Repeat("a", 100) + "\r\n b\r\n"},
		{strings.Repeat("a", 1500), "N: " + strings.Repeat("a", 995) + "\r\n " + strings.Repeat("a", 505) + "\r\n"},
		{"", "N: \r\n"},
	} {
		if got := string(AppendField(nil, "N", tt.value)); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
