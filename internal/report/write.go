package report

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"posthouse/internal/message"
)

// WriteTo writes the report as a whole message with CRLF line ends: a
// multipart/report of RFC 6522 with a text for people, the delivery status of
// RFC 3464, and the original's header or all of it.
func (d *DSN) WriteTo(w io.Writer) (int64, error) {
	b := message.NewBuilder(string(d.ID) + "@" + d.Hostname)
	if d.NeedsUTF8() {
		b.AllowUTF8()
	}
	to := message.Address{Mailbox: d.To.Local, Host: d.To.Domain}
	if to.Host == "" {
		to.Host = d.Hostname
	}
	b.Date(d.Date)
	b.Addresses("From", message.Address{Name: "Mail Delivery System", Mailbox: "mailer-daemon", Host: d.Hostname})
	b.Addresses("To", to)
	b.MessageID(string(d.ID) + "@" + d.Hostname)
	b.Text("Subject", d.subject())
	// RFC 3834 section 5: nobody shall answer this.
	b.Field("Auto-Submitted", "auto-replied")
	if ref := d.reference(); ref != "" {
		b.Field("In-Reply-To", ref)
		b.Field("References", ref)
	}
	b.Multipart("report", message.Param{Name: "report-type", Value: "delivery-status"})
	b.TextPart(d.text())
	b.Part(d.statusPart())
	b.Part(d.originalPart())
	return b.WriteTo(w)
}

// reference is the original's Message-ID, when it is one that can be referred to.
func (d *DSN) reference() string {
	m := d.MessageID
	if len(m) < 3 || len(m) > 250 || m[0] != '<' || m[len(m)-1] != '>' || strings.ContainsAny(m, " \t\r\n") || !isASCII(m) {
		return ""
	}
	return m
}

// originalPart is the third part (RFC 6522 section 3).
func (d *DSN) originalPart() message.BodyPart {
	end := message.HeaderEnd(d.Message)
	// Only who reads them gets the types of RFC 6533 section 4.
	global := d.readsUTF8() && !isASCII(string(d.Message[:end]))
	if d.returnsWhole() {
		p := message.BodyPart{Type: "message/rfc822", Encoding: "7bit", Body: bytes.NewReader(d.Message)}
		if global {
			p.Type = "message/global"
		}
		if !isASCII(string(d.Message)) {
			p.Encoding = "8bit"
		}
		return p
	}
	head := d.Message[:end]
	p := message.BodyPart{Type: "text/rfc822-headers", Encoding: "7bit", Body: bytes.NewReader(head)}
	switch {
	case global:
		p.Type = "message/global-headers"
		fallthrough
	case !isASCII(string(head)):
		p.Encoding = "8bit"
	}
	if !sendable(head) || !global && p.Encoding == "8bit" {
		// Broken headers may be encoded (RFC 6522 section 4).
		p.Encoding = "quoted-printable"
	}
	return p
}

// sendable reports whether b can go unencoded in a message: no NUL, no line
// over 998 bytes, no CR or LF alone.
func sendable(b []byte) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	for line := range bytes.Lines(b) {
		text, ended := bytes.CutSuffix(line, []byte("\r\n"))
		if len(text) > 998 || bytes.ContainsAny(text, "\r\n") || !ended && len(line) != len(text) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ascii makes a remote's words fit for a field that must be ASCII.
func ascii(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c >= utf8.RuneSelf {
			return '?'
		}
		return c
	}, s)
}
