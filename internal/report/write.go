package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// NeedsUTF8 reports whether the report itself must be sent with SMTPUTF8: its To
// field has an internationalised address (RFC 6531).
func (d *DSN) NeedsUTF8() bool { return !d.To.IsASCII() }

// global reports whether the parts for programs are those of RFC 6533, because
// the original was internationalised or an address is.
func (d *DSN) global() bool {
	if d.Original.UTF8 || d.NeedsUTF8() {
		return true
	}
	for i := range d.Rcpts {
		if !d.Rcpts[i].To.IsASCII() {
			return true
		}
	}
	return false
}

// delayedOnly reports whether nothing in the report is final.
func (d *DSN) delayedOnly() bool {
	for i := range d.Rcpts {
		if d.Rcpts[i].Action != Delayed {
			return false
		}
	}
	return true
}

// WriteTo writes the report as a whole message with CRLF line ends: a
// multipart/report of RFC 6522 with a text for people, the delivery status of
// RFC 3464, and the original's header or, when RET=FULL and it is small, all of it.
func (d *DSN) WriteTo(w io.Writer) (int64, error) {
	b := message.NewBuilder(string(d.ID) + "@" + d.Hostname)
	if d.NeedsUTF8() {
		b.AllowUTF8()
	}
	b.Date(d.Date)
	b.Addresses("From", message.Address{Name: "Mail Delivery System", Mailbox: "mailer-daemon", Host: d.Hostname})
	b.Addresses("To", message.Address{Mailbox: d.To.Local, Host: d.To.Domain})
	b.MessageID(string(d.ID) + "@" + d.Hostname)
	b.Text("Subject", d.subject())
	// RFC 3834 section 5: nobody shall answer this.
	b.Field("Auto-Submitted", "auto-replied")
	if ref := d.reference(); ref != "" {
		b.Field("In-Reply-To", ref)
		b.Field("References", ref)
	}
	kind := "delivery-status"
	if d.global() {
		kind = "global-delivery-status" // RFC 6533 section 4.1
	}
	b.Multipart("report", message.Param{Name: "report-type", Value: "delivery-status"})
	b.TextPart(d.text())
	b.Part(statusPart("message/"+kind, d.status()))
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

func statusPart(kind string, body []byte) message.BodyPart {
	p := message.BodyPart{Type: kind, Encoding: "7bit", Body: bytes.NewReader(body)}
	if !isASCII(string(body)) {
		p.Encoding = "8bit"
	}
	return p
}

// originalPart is the third part (RFC 6522 section 3).
func (d *DSN) originalPart() message.BodyPart {
	if d.Whole && strings.EqualFold(d.Original.Ret, "FULL") && sendable(d.Message) {
		p := message.BodyPart{Type: "message/rfc822", Encoding: "7bit", Body: bytes.NewReader(d.Message)}
		if d.global() {
			p.Type = "message/global"
		}
		if !isASCII(string(d.Message)) {
			p.Encoding = "8bit"
		}
		return p
	}
	head := d.Message[:message.HeaderEnd(d.Message)]
	p := message.BodyPart{Type: "text/rfc822-headers", Encoding: "7bit", Body: bytes.NewReader(head)}
	if d.global() {
		p.Type = "message/global-headers" // RFC 6533 section 4.3
	}
	if !isASCII(string(head)) || !sendable(head) {
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

// status is the part for programs (RFC 3464 section 2).
func (d *DSN) status() []byte {
	var b []byte
	field := func(name, value string) { b = message.AppendField(b, name, value) }
	if d.Original.EnvID != "" {
		field("Original-Envelope-Id", ascii(d.Original.EnvID))
	}
	field("Reporting-MTA", "dns; "+d.Hostname)
	if o := &d.Original.Origin; o.Helo != "" && isASCII(o.Helo) {
		field("Received-From-MTA", "dns; "+o.Helo)
	}
	if !d.Original.Received.IsZero() {
		field("Arrival-Date", message.FormatDate(d.Original.Received))
	}
	for i := range d.Rcpts {
		b = append(b, "\r\n"...)
		b = d.Rcpts[i].appendStatus(b)
	}
	return b
}

// appendStatus adds the fields of one recipient (RFC 3464 section 2.3).
func (r *Rcpt) appendStatus(b []byte) []byte {
	field := func(name, value string) { b = message.AppendField(b, name, value) }
	if kind, addr, ok := strings.Cut(r.ORcpt, ";"); ok && isASCII(r.ORcpt) {
		field("Original-Recipient", kind+"; "+addr)
	}
	field("Final-Recipient", addressType(r.To)+"; "+r.To.String())
	field("Action", string(r.Action))
	code := r.Status
	if code.IsZero() || r.Action == Failed && code.Class != 5 && code.Class != 4 {
		code = status.Enhanced{Class: 5}
	}
	field("Status", code.String())
	if r.Host != "" {
		field("Remote-MTA", "dns; "+r.Host)
	}
	if r.Code != 0 && r.Remote {
		field("Diagnostic-Code", "smtp; "+ascii(diagnostic(r)))
	} else if r.Text != "" {
		field("Diagnostic-Code", "x-posthouse; "+ascii(r.Text))
	}
	if !r.LastAttempt.IsZero() {
		field("Last-Attempt-Date", message.FormatDate(r.LastAttempt))
	}
	if r.Action == Delayed && !r.RetryUntil.IsZero() {
		field("Will-Retry-Until", message.FormatDate(r.RetryUntil))
	}
	return b
}

// diagnostic is the remote's reply.
func diagnostic(r *Rcpt) string {
	if r.Enhanced.Subject == 0 && r.Enhanced.Detail == 0 {
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

func addressType(a smtp.Address) string {
	if a.IsASCII() {
		return "rfc822"
	}
	return "utf-8" // RFC 6533 section 3
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
