package report

import (
	"fmt"
	"strings"

	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// maxSubject is how much of the original's subject is repeated, in bytes.
const maxSubject = 200

func (d *DSN) subject() string {
	what := "Not delivered"
	if d.delayedOnly() {
		what = "Delayed"
	}
	if s := d.originalSubject(); s != "" {
		return what + ": " + s
	}
	return what + ": your message"
}

// originalSubject is decoded, on one line, "" when there is none.
func (d *DSN) originalSubject() string {
	s, _ := message.Header(d.Message[:message.HeaderEnd(d.Message)]).Get("Subject")
	s = strings.Join(strings.Fields(message.DecodeText(s)), " ")
	if len(s) > maxSubject {
		s = strings.ToValidUTF8(s[:maxSubject], "") + " …"
	}
	return s
}

// text is the part for people: what happened, to whom, why, and what to do.
func (d *DSN) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail server %s.\n\n", d.Hostname)
	d.intro(&b)
	b.WriteString("\n")
	if s := d.originalSubject(); s != "" {
		fmt.Fprintf(&b, "    Subject:  %s\n", s)
	}
	if !d.Original.Received.IsZero() {
		fmt.Fprintf(&b, "    Sent:     %s\n", d.Original.Received.Format("Monday, 2 January 2006, 15:04 -0700"))
	}
	for i := range d.Rcpts {
		b.WriteString("\n")
		d.Rcpts[i].describe(&b)
	}
	b.WriteString("\nThe technical details and the header of your message are attached.\n")
	return b.String()
}

func (d *DSN) intro(b *strings.Builder) {
	switch {
	case d.delayedOnly():
		b.WriteString("Your message could not be delivered so far. It is still being tried: you need\n" +
			"not send it again. You will hear from us if it fails for good.\n")
	case len(d.Rcpts) == 1:
		b.WriteString("Your message could not be delivered to the recipient below. It will not be\n" +
			"tried again.\n")
	default:
		b.WriteString("Your message could not be delivered to the recipients below. It will not be\n" +
			"tried again.\n")
	}
}

// describe writes one recipient's paragraph.
func (r *Rcpt) describe(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n", readable(r.To))
	if why := explain(r.Status); why != "" {
		fmt.Fprintf(b, "    %s\n", why)
	}
	switch {
	case r.Text == "":
	case r.Remote && r.Host != "":
		fmt.Fprintf(b, "    %s answered: %s\n", r.Host, diagnostic(r))
	case r.Host != "":
		fmt.Fprintf(b, "    %s (%s)\n", r.Text, r.Host)
	default:
		fmt.Fprintf(b, "    %s\n", r.Text)
	}
	if r.Attempts > 1 {
		fmt.Fprintf(b, "    Tried %d times, the last time %s.\n", r.Attempts, r.LastAttempt.Format("2 January, 15:04 -0700"))
	}
	if r.Action == Delayed && !r.RetryUntil.IsZero() {
		fmt.Fprintf(b, "    It will be tried until %s.\n", r.RetryUntil.Format("Monday, 2 January 2006, 15:04 -0700"))
	}
}

// readable is an address with its domain as people know it.
func readable(a smtp.Address) string {
	a.Domain = smtp.ToUnicode(a.Domain)
	return a.String()
}

// explanations of enhanced codes (RFC 3463, RFC 7505, RFC 6531), by subject and
// detail; detail 0 stands for the rest of its subject.
var explanations = map[[2]uint16]string{
	{1, 1}:  "There is no such address there. Please check how it is written.",
	{1, 2}:  "There is no such mail domain. Please check what stands after the @.",
	{1, 3}:  "The address is not written as it must be.",
	{1, 6}:  "The recipient has moved and left no new address.",
	{1, 10}: "This domain takes no mail at all.",
	{2, 1}:  "The mailbox is closed or switched off.",
	{2, 2}:  "The recipient's mailbox is full. You may try again later.",
	{2, 3}:  "The message is larger than the recipient may receive.",
	{3, 4}:  "The message is too large for the receiving server.",
	{4, 1}:  "The receiving server cannot be reached.",
	{4, 2}:  "The connection to the receiving server broke off.",
	{4, 3}:  "The name service of the recipient's domain does not answer.",
	{4, 4}:  "The domain names mail servers that cannot be found. Its owner must correct that.",
	{4, 6}:  "The message goes in circles between mail servers.",
	{4, 7}:  "The receiving server did not take it for days; the last reason is given here.",
	{5, 3}:  "The server takes fewer recipients at a time.",
	{6, 0}:  "The message is not written in a form that can be sent on safely.",
	{6, 7}:  "The receiving server does not take international (UTF-8) addresses or headers.",
	{7, 0}:  "The receiving server refuses the message by its own rules.",
}

// explain puts an enhanced code into plain words; "" when the remote's own words
// must do.
func explain(e status.Enhanced) string {
	if text, ok := explanations[[2]uint16{e.Subject, e.Detail}]; ok {
		return text
	}
	if e.Subject == 7 {
		return explanations[[2]uint16{7, 0}]
	}
	return ""
}
