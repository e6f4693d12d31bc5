// Package report writes delivery status notifications (RFC 3464, RFC 6522,
// RFC 3461; RFC 6533 for internationalised mail): in plain words first, then
// for programs.
package report

import (
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Action is what happened to a recipient (RFC 3464 section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered" // in a mailbox here
	Relayed   Action = "relayed"   // at a server that sends no reports of success
	Expanded  Action = "expanded"  // on its way to the several addresses of an alias
)

// MaxOriginal is how much of the original message a report carries, in bytes.
const MaxOriginal = 64 << 10

// Postmaster is whom a report goes to that can be told to nobody else: the
// postmaster of this house (RFC 3461 section 5.2).
var Postmaster = smtp.Address{Local: "postmaster"}

// DSN is one report to the sender of one message. It is sent with the null
// reverse-path to To.
type DSN struct {
	ID        id.ID              // of the report itself
	Hostname  string             // Reporting-MTA
	To        smtp.Address       // the original's reverse-path, or Postmaster
	Date      time.Time          // of the report
	Original  *envelope.Envelope // of the message reported on; Rcpts are not read
	MessageID string             // its Message-ID, with brackets; "" when it has none
	// Message is the original from its start, at most MaxOriginal bytes of it;
	// Whole says that this is all. See returnWhole for how much is sent back.
	Message []byte
	Whole   bool
	Rcpts   []Rcpt // all with the same Action
}

// Rcpt is the fate of one recipient.
type Rcpt struct {
	envelope.Rcpt
	Action      Action
	Status      status.Enhanced // what this house concludes
	Code        int             // SMTP reply code; 0 when there was none
	Enhanced    status.Enhanced // that came with Code; zero when there was none
	Text        string          // one line: the remote's own words when Remote
	Remote      bool
	Hint        string    // what the sender can do, in a sentence; "" for what Status says
	Host        string    // Remote-MTA; "" when none was reached
	LastAttempt time.Time // zero: there was none
	Attempts    int
	RetryUntil  time.Time // only with Delayed
}

// Action is that of all recipients.
func (d *DSN) Action() Action {
	if len(d.Rcpts) == 0 {
		return Failed
	}
	return d.Rcpts[0].Action
}

// ForPostmaster reports whether the report could go to nobody else.
func (d *DSN) ForPostmaster() bool { return d.To == Postmaster }

// NeedsUTF8 reports whether the report itself must be sent with SMTPUTF8: its To
// field has an internationalised address (RFC 6531).
func (d *DSN) NeedsUTF8() bool { return !d.To.IsASCII() }

// readsUTF8 reports whether whoever gets the report can read the parts of RFC
// 6533: who sends such mail can.
func (d *DSN) readsUTF8() bool { return d.Original.UTF8 || d.NeedsUTF8() }

// wantsWhole reports whether the sender is to have the whole message back (RFC
// 3461 section 6.2). Without RET that is ours to decide: people of this house get
// it, but a stranger, whose address may be forged, gets no more than a header.
func (d *DSN) wantsWhole() bool {
	o := d.Original
	switch {
	case d.Action() != Failed || d.ForPostmaster():
		return false
	case o.RequireTLS:
		return false // RFC 8689 section 5
	case o.Ret == "":
		return o.Origin.Account != 0
	}
	return o.Ret == "FULL"
}

// returnsWhole reports whether it does get it.
func (d *DSN) returnsWhole() bool { return d.wantsWhole() && d.Whole && sendable(d.Message) }
