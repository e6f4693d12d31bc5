package report

import (
	"bytes"
	"fmt"
	"strings"

	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// statusPart is the part for programs.
func (d *DSN) statusPart() message.BodyPart {
	p := message.BodyPart{Type: "message/delivery-status", Encoding: "7bit"}
	body := d.status(false)
	if d.readsUTF8() {
		if global := d.status(true); !isASCII(string(global)) {
			// RFC 6533 section 4.1
			p.Type, p.Encoding, body = "message/global-delivery-status", "8bit", global
		}
	}
	p.Body = bytes.NewReader(body)
	return p
}

// statusWriter writes the fields of RFC 3464 section 2; global lets UTF-8 stand
// in them.
type statusWriter struct {
	global bool
	b      []byte
}

func (w *statusWriter) field(name, value string) {
	if !w.global {
		value = ascii(value)
	}
	w.b = message.AppendField(w.b, name, value)
}

// address writes an address with its type (RFC 3464 section 2.3.1, RFC 6533
// section 3).
func (w *statusWriter) address(name, kind, addr string) {
	if strings.EqualFold(kind, "utf-8") && !w.global {
		_, addr, _ = strings.Cut(smtp.EncodeORcpt("utf-8;"+addr, false), ";")
	}
	w.field(name, kind+"; "+addr)
}

// status is the part's content (RFC 3464 section 2).
func (d *DSN) status(global bool) []byte {
	w := &statusWriter{global: global}
	o := d.Original
	if o.EnvID != "" {
		w.field("Original-Envelope-Id", o.EnvID)
	}
	w.field("Reporting-MTA", "dns; "+d.Hostname)
	if helo := o.Origin.Helo; helo != "" && isASCII(helo) {
		if addr := o.Origin.Remote.Addr(); addr.IsValid() {
			helo += " (" + addr.String() + ")" // RFC 3464 section 2.2.4
		}
		w.field("Received-From-MTA", "dns; "+helo)
	}
	if !o.Received.IsZero() {
		w.field("Arrival-Date", message.FormatDate(o.Received))
	}
	if !o.DeliverBy.IsZero() {
		w.field("Deliver-By-Date", message.FormatDate(o.DeliverBy)) // RFC 2852 section 5
	}
	if o.HoldRequest != "" {
		w.field("Future-Release-Request", o.HoldRequest) // RFC 4865 section 5.1.2
	}
	for i := range d.Rcpts {
		w.b = append(w.b, "\r\n"...)
		d.Rcpts[i].status(w)
		if o.ID != "" {
			w.field("Final-Log-Id", string(o.ID))
		}
		if r := &d.Rcpts[i]; r.Action == Delayed && !r.RetryUntil.IsZero() {
			w.field("Will-Retry-Until", message.FormatDate(r.RetryUntil))
		}
	}
	return w.b
}

// status writes the fields of one recipient (RFC 3464 section 2.3).
func (r *Rcpt) status(w *statusWriter) {
	if kind, addr, ok := strings.Cut(r.ORcpt, ";"); ok {
		w.address("Original-Recipient", kind, addr)
	}
	w.address("Final-Recipient", AddressType(r.To), r.To.String())
	w.field("Action", string(r.Action))
	w.field("Status", r.conclusion().String())
	if r.Host != "" {
		w.field("Remote-MTA", "dns; "+r.Host)
	}
	if r.Code != 0 && r.Remote {
		w.field("Diagnostic-Code", "smtp; "+diagnostic(r))
	} else if r.Text != "" {
		w.field("Diagnostic-Code", "x-posthouse; "+r.Text)
	}
	if !r.LastAttempt.IsZero() {
		w.field("Last-Attempt-Date", message.FormatDate(r.LastAttempt))
	}
}

// conclusion is Status with the class that Action must have (RFC 3464 section
// 2.3.4).
func (r *Rcpt) conclusion() status.Enhanced {
	code := r.Status
	switch r.Action {
	case Failed:
		if code.Class != 4 && code.Class != 5 {
			code.Class = 5
		}
	case Delayed:
		code.Class = 4
	default:
		code.Class = 2
	}
	return code
}

// diagnostic is the remote's reply.
func diagnostic(r *Rcpt) string {
	if r.Enhanced.Subject == 0 && r.Enhanced.Detail == 0 {
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// AddressType is the type of an address in a report and in ORCPT: "rfc822", or
// "utf-8" (RFC 6533 section 3).
func AddressType(a smtp.Address) string {
	if a.IsASCII() {
		return "rfc822"
	}
	return "utf-8"
}
