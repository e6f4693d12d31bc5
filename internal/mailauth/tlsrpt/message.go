package tlsrpt

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"posthouse/internal/smtp"
)

// Message is a report on its way by mail (RFC 8460 section 5.3).
type Message struct {
	From, To  smtp.Address
	Submitter string // the domain of the report's contact
	Domain    string // that the report is about
	Date      time.Time
	Report    *Report
}

// WriteTo writes the message, with CRLF. The field TLS-Required asks to send it
// whatever the TLS that it is about is like (RFC 8460 section 3, RFC 8689 section 3).
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	packed, err := m.Report.Gzip()
	if err != nil {
		return 0, err
	}
	id := "<" + m.Report.ID + ">"
	boundary := "=_tlsrpt_" + plainName(m.Report.ID)
	var b bytes.Buffer
	field := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	field("From", "<"+m.From.String()+">")
	field("To", "<"+m.To.String()+">")
	field("Date", m.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field("Message-ID", id)
	field("Subject", "Report Domain: "+m.Domain+"\r\n Submitter: "+m.Submitter+"\r\n Report-ID: "+id)
	field("TLS-Report-Domain", m.Domain)
	field("TLS-Report-Submitter", m.Submitter)
	field("TLS-Required", "No")
	field("Auto-Submitted", "auto-generated")
	field("MIME-Version", "1.0")
	field("Content-Type", `multipart/report; report-type="tlsrpt";`+"\r\n boundary=\""+boundary+`"`)
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n")
	b.WriteString(m.words())
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n")
	field("Content-Disposition", "attachment;\r\n filename=\""+m.Report.FileName(m.Submitter, m.Domain)+`"`)
	b.WriteString("\r\n")
	encoded := base64.StdEncoding.EncodeToString(packed)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--" + boundary + "--\r\n")
	return b.WriteTo(w)
}

// words are for people.
func (m *Message) words() string {
	s := m.Report.Totals()
	return fmt.Sprintf("This is a report on TLS with the mail hosts of %s, as seen from\r\n%s on %s (UTC).\r\n\r\n"+
		"Sessions: %d good, %d failed. The attached file has the details (RFC 8460).\r\n",
		m.Domain, m.Submitter, m.Report.Range.Start.UTC().Format("2006-01-02"), s.Success, s.Failure)
}
