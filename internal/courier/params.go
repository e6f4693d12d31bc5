package courier

import (
	"strconv"
	"strings"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// What is passed on of the extensions that a message came with, and what becomes
// of it where the next server lacks one.

// fitExtensions decides what this server lacks the extensions for. It reports
// whether anything is left to do.
func (x *transaction) fitExtensions() bool {
	if err := x.fitDeadline(); err != nil {
		x.decideAll(x.ours(err))
		return false
	}
	left := x.rcpts[:0:0]
	for _, i := range x.rcpts {
		if r := &x.t.Rcpts[i]; !r.RRVS.IsZero() && !r.RRVSContinue && !x.s.ext.Has("RRVS") {
			// RFC 7293 sections 5.1.1 and 6: the recommended one of the choices.
			x.decide(i, x.s.outcome(550, status.Enhanced{Class: 5, Subject: 7, Detail: 19},
				"The server cannot tell since when the mailbox belongs to its owner"))
			continue
		}
		left = append(left, i)
	}
	x.rcpts = left
	return true
}

// fitDeadline judges a message that is to be returned unless it is delivered in
// time (RFC 2852 section 4.1.4.1): it must not leave for a server that would not.
func (x *transaction) fitDeadline() error {
	if x.t.DeliverBy.IsZero() || x.t.ByMode != envelope.ByReturn {
		return nil
	}
	least, offered := x.s.ext["DELIVERBY"]
	if !offered {
		return status.New(550, 3, 3, "The server does not know deadlines of delivery, which the sender insists on")
	}
	// Its first option is the least time it promises to keep (section 2).
	least, _, _ = strings.Cut(least, ",")
	seconds, err := strconv.ParseInt(least, 10, 32)
	if err != nil {
		seconds = 0
	}
	if left := x.timeLeft(); left < time.Duration(max(seconds, 1))*time.Second {
		return status.New(554, 4, 7, "The time in which it had to be delivered is too short for the server")
	}
	return nil
}

// timeLeft is the time until the deadline: what was asked for less the time the
// message has been here (RFC 2852 section 4.1.4).
func (x *transaction) timeLeft() time.Duration { return x.t.DeliverBy.Sub(x.c.opt.Clock.Now()) }

// mailParams appends the parameters of MAIL that the server takes.
func (x *transaction) mailParams(b []byte) []byte {
	ext, t := x.s.ext, x.t
	if ext.Has("SIZE") {
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, x.total(), 10)
	}
	switch {
	case t.Binary && x.plain == nil:
		b = append(b, " BODY=BINARYMIME"...)
	case x.eightBit() && ext.Has("8BITMIME"):
		b = append(b, " BODY=8BITMIME"...)
	}
	if x.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if x.s.loggedIn {
		// We vouch for nobody, and say so to whom we have named ourselves (RFC 4954
		// section 5).
		b = append(b, " AUTH=<>"...)
	}
	if t.RequireTLS && x.s.passesOn() {
		b = append(b, " REQUIRETLS"...)
	}
	if ext.Has("DSN") { // RFC 3461 sections 4.3, 4.4
		switch {
		case t.RequireTLS && t.Ret != "":
			b = append(b, " RET=HDRS"...) // RFC 8689 section 5: FULL is disregarded
		case t.Ret != "":
			b = append(b, " RET="+t.Ret...)
		}
		if t.EnvID != "" {
			b = append(b, " ENVID="+smtp.EncodeXtext(t.EnvID)...)
		}
	}
	if ext.Has("DELIVERBY") && !t.DeliverBy.IsZero() {
		by := smtp.By{In: x.timeLeft(), Return: t.ByMode == envelope.ByReturn, Trace: t.ByTrace}
		b = append(b, " BY="+by.String()...)
	}
	if ext.Has("MT-PRIORITY") { // RFC 6710 section 4.2
		b = append(b, " MT-PRIORITY="...)
		b = strconv.AppendInt(b, int64(t.Priority), 10)
	}
	if ext.Has("NO-SOLICITING") && t.Solicit != "" { // RFC 3865 section 2.7
		b = append(b, " SOLICIT="+t.Solicit...)
	}
	return b
}

// rcptParams appends the parameters of RCPT that the server takes.
func (x *transaction) rcptParams(b []byte, r *envelope.Rcpt) []byte {
	if x.s.ext.Has("DSN") { // RFC 3461 sections 4.1, 4.2
		if notify := x.notify(r); notify != "" {
			b = append(b, " NOTIFY="+notify...)
		}
		if r.ORcpt != "" {
			b = append(b, " ORCPT="+smtp.EncodeORcpt(r.ORcpt, x.utf8)...)
		}
	}
	if x.s.ext.Has("RRVS") && !r.RRVS.IsZero() { // RFC 7293 section 5.1.1
		b = append(b, " RRVS="+smtp.RRVS{Since: r.RRVS, Continue: r.RRVSContinue}.String()...)
	}
	return b
}

// leadLines are the header lines before the message: the recipients' own, without
// what goes as a parameter (RFC 7293 section 6.1), and in place of a parameter the
// field that carries the priority through a server that does not take it (RFC 6758
// section 3.3).
func (x *transaction) leadLines() string {
	lead := x.t.Prepend
	if lead != "" && x.s.ext.Has("RRVS") {
		lead = string(message.Header(lead).Without(func(f message.Field) bool { return f.Is(envelope.OwnerField) }))
	}
	if x.t.PriorityBy == envelope.PriorityParameter && !x.s.ext.Has("MT-PRIORITY") {
		lead = "MT-Priority: " + strconv.Itoa(x.t.Priority) + "\r\n" + lead
	}
	return lead
}

// notify is NOTIFY for a recipient. A server that does not know the deadline at
// which its sender wants to be told is asked to tell of delays (RFC 2852 section
// 4.1.4.2).
func (x *transaction) notify(r *envelope.Rcpt) string {
	switch {
	case x.t.ByMode != envelope.ByNotify || x.s.ext.Has("DELIVERBY") || x.timeLeft() <= 0:
	case r.Notify == "":
		return envelope.NotifyFailure + "," + envelope.NotifyDelay
	case !r.Notifies(envelope.NotifyNever) && !r.Notifies(envelope.NotifyDelay):
		return r.Notify + "," + envelope.NotifyDelay
	}
	return r.Notify
}

// limits is what a server says it takes (LIMITS, RFC 9422 section 4); 0 is not
// said.
type limits struct {
	mails   int // MAIL commands in a session
	rcpts   int // recipients of a message
	domains int // of recipients in a session
}

// parseLimits reads the parameters of LIMITS. A list that is none is passed over
// as a whole, and so is the value of a limit that is none (section 3.7).
func parseLimits(param string) (l limits) {
	if strings.Contains(param, ";") { // in no value (section 3)
		return limits{}
	}
	for word := range strings.FieldsSeq(param) {
		name, value, _ := strings.Cut(word, "=")
		n, ok := limitValue(value)
		if !ok {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.mails = n
		case "RCPTMAX":
			l.rcpts = n
		case "RCPTDOMAINMAX":
			l.domains = n
		}
	}
	return l
}

// limitValue reads one to six digits, of which the first is not 0.
func limitValue(s string) (int, bool) {
	if s == "" || len(s) > 6 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// split puts aside the recipients that are more than the server takes at a time,
// or in this session. It reports whether anything is left to do.
func (x *transaction) split() bool {
	l := parseLimits(x.s.ext["LIMITS"])
	if l.rcpts == 0 && l.domains == 0 {
		return true
	}
	if x.s.domains == nil {
		x.s.domains = make(map[string]bool)
	}
	domains := x.s.domains
	first := x.rcpts[:0:0]
	for _, i := range x.rcpts {
		domain := smtp.CanonicalDomain(x.t.Rcpts[i].To.Domain)
		full := l.rcpts > 0 && len(first) >= l.rcpts
		if full || l.domains > 0 && len(domains) >= l.domains && !domains[domain] {
			x.rest = append(x.rest, i)
			continue
		}
		domains[domain] = true
		first = append(first, i)
	}
	x.rcpts = first
	if len(first) > 0 {
		return true
	}
	for _, i := range x.rest {
		x.decide(i, x.noMore())
	}
	x.rest = nil
	return false
}

// spent reports whether a session may carry no more mail.
func (c *conn) spent() bool {
	l := parseLimits(c.ext["LIMITS"])
	return c.over || l.mails > 0 && c.sent >= l.mails
}

// full reports whether a session may carry no more mail of others: it is spent, or
// has as many domains as the server takes in one (RFC 9422 section 4.3).
func (c *conn) full() bool {
	l := parseLimits(c.ext["LIMITS"])
	return c.spent() || l.domains > 0 && len(c.domains) >= l.domains
}

// noMore is the outcome for those that a session is over for.
func (x *transaction) noMore() Outcome {
	return x.s.outcome(451, status.Enhanced{Class: 4, Subject: 5, Detail: 3},
		"The server takes no more messages, or no more domains, in one session")
}
