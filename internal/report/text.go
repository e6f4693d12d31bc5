package report

import (
	"fmt"
	"strings"
	"time"

	"posthouse/internal/message"
	"posthouse/internal/smtp"
)

// maxSubject is how much of the original's subject is repeated, in bytes.
const maxSubject = 200

// titles begin the subject.
var titles = map[Action]string{
	Failed: "Not delivered", Delayed: "Delayed", Delivered: "Delivered",
	Relayed: "Passed on", Expanded: "Passed on",
}

func (d *DSN) subject() string {
	title := titles[d.Action()]
	if d.ForPostmaster() {
		title = "For the postmaster: not delivered"
	}
	if s := d.originalSubject(); s != "" {
		return title + ": " + s
	}
	return title + ": your message"
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
	b.WriteString(d.intro())
	b.WriteString("\n")
	if s := d.originalSubject(); s != "" {
		fmt.Fprintf(&b, "    Subject:  %s\n", s)
	}
	if !d.Original.Received.IsZero() {
		fmt.Fprintf(&b, "    Sent:     %s\n", longDate(d.Original.Received))
	}
	for i := range d.Rcpts {
		b.WriteString("\n")
		d.Rcpts[i].describe(&b)
	}
	b.WriteString("\n" + d.outro())
	return b.String()
}

// intros say what happened. Those who get one may never have heard of SMTP.
var intros = map[Action]string{
	Failed: "Your message could not be delivered to the %s below. It will not be\n" +
		"tried again.\n",
	Delayed: "Your message could not be delivered so far. It is still being tried: you need\n" +
		"not send it again. You will hear from us if it fails for good.\n",
	Delivered: "Your message was delivered to the %s below. You get this notice because\n" +
		"you asked for it. It does not say that the message was read.\n",
	Relayed: "Your message was passed on to the next mail server on its way to the %s\n" +
		"below. You get this notice because you asked to hear of it. From here on other\n" +
		"servers look after the message; most of them tell only of failures.\n",
	Expanded: "Your message was passed on to all who get mail for the %s below. You\n" +
		"will hear of each of them only if it fails there.\n",
}

func (d *DSN) intro() string {
	if d.ForPostmaster() {
		return "A report of this server, or another message that has no sender to be told of\n" +
			"failures, could not be delivered. This copy is for you, the postmaster: look\n" +
			"whether something is wrong here. It will not be tried again.\n"
	}
	who := "recipients"
	if len(d.Rcpts) == 1 {
		who = "recipient"
	}
	return strings.Replace(intros[d.Action()], "%s", who, 1)
}

// outro says what is attached.
func (d *DSN) outro() string {
	switch {
	case d.returnsWhole():
		return "The technical details and your message are attached.\n"
	case d.ForPostmaster():
		return "The technical details and the header of the message are attached.\n"
	case d.wantsWhole():
		return "The technical details and the header of your message are attached. The whole\n" +
			"message is too large to be returned, or not of a form that can be.\n"
	}
	return "The technical details and the header of your message are attached.\n"
}

// describe writes one recipient's paragraph.
func (r *Rcpt) describe(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n", readable(r.To))
	if _, addr, _ := strings.Cut(r.ORcpt, ";"); addr != "" && !strings.EqualFold(addr, r.To.String()) {
		fmt.Fprintf(b, "    You wrote to %s.\n", addr)
	}
	if r.Action == Failed || r.Action == Delayed {
		r.describeTrouble(b)
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
		fmt.Fprintf(b, "    It will be tried until %s.\n", longDate(r.RetryUntil))
	}
}

// describeTrouble says why, and what to do about what failed for good.
func (r *Rcpt) describeTrouble(b *strings.Builder) {
	why := explain(r.Status, r.Remote)
	if why.why != "" {
		fmt.Fprintf(b, "    %s\n", why.why)
	}
	if last := explain(r.Enhanced, r.Remote); r.Status.Subject == 4 && r.Status.Detail == 7 && last.why != "" && last != why {
		fmt.Fprintf(b, "    %s\n", last.why)
	}
	switch {
	case r.Action != Failed:
	case r.Hint != "":
		fmt.Fprintf(b, "    %s\n", r.Hint)
	case why.do != "":
		fmt.Fprintf(b, "    %s\n", why.do)
	}
}

func longDate(t time.Time) string { return t.Format("Monday, 2 January 2006, 15:04 -0700") }

// readable is an address with its domain as people know it.
func readable(a smtp.Address) string {
	a.Domain = smtp.ToUnicode(a.Domain)
	return a.String()
}
