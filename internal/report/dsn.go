// Package report writes delivery status notifications (RFC 3464, RFC 6522,
// RFC 3461; RFC 6533 for internationalised mail).
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

// The actions this house reports.
const (
	Failed  Action = "failed"
	Delayed Action = "delayed"
)

// MaxOriginal is how much of the original message a report carries, in bytes.
const MaxOriginal = 64 << 10

// DSN is one report to the sender of one message. It is sent with the null
// reverse-path to To.
type DSN struct {
	ID        id.ID              // of the report itself
	Hostname  string             // Reporting-MTA
	To        smtp.Address       // the original's reverse-path
	Date      time.Time          // of the report
	Original  *envelope.Envelope // of the message reported on; Rcpts are not read
	MessageID string             // its Message-ID, with brackets; "" when it has none
	// Message is the original from its start, at most MaxOriginal bytes of it;
	// Whole says that this is all. Only the header is sent back, unless the
	// sender asked for the whole message (RET=FULL).
	Message []byte
	Whole   bool
	Rcpts   []Rcpt
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
	Host        string // Remote-MTA; "" when none was reached
	LastAttempt time.Time
	Attempts    int
	RetryUntil  time.Time // only with Delayed
}
