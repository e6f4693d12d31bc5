// Package journal is the event log: one append-only story per message. Log
// lines, metrics and timelines are readers of it.
package journal

import (
	"time"

	"posthouse/internal/id"
)

// Kind says what happened. The kinds and the meaning of Data are versioned by
// Version: a kind is never used again for something else.
type Kind string

// The kinds of event.
const (
	Accepted  Kind = "accepted"  // a door took the message in: the 250 follows
	Rejected  Kind = "rejected"  // a door refused it
	Delivered Kind = "delivered" // filed in a mailbox
	Queued    Kind = "queued"    // for a recipient elsewhere
	Attempted Kind = "attempted" // a try that did not succeed, will be tried again
	Relayed   Kind = "relayed"   // the next server took it
	Bounced   Kind = "bounced"   // given up for a recipient
	Delayed   Kind = "delayed"   // a delay notice was sent
	// Suppressed: the recipient's address was put on the list of those that take no mail.
	Suppressed Kind = "suppressed"
	Reported   Kind = "reported" // a DSN was sent for it; Detail["dsn"] is its id
	Held       Kind = "held"
	Released   Kind = "released"
	Dropped    Kind = "dropped"  // by an operator
	Rerouted   Kind = "rerouted" // by an operator: it goes another way
)

// Version of the form of events.
const Version = 1

// Event is one step of one message.
type Event struct {
	Version int               `json:"v"`
	At      time.Time         `json:"at"`
	Kind    Kind              `json:"kind"`
	Message id.ID             `json:"message"`
	Session id.ID             `json:"session,omitempty"`
	Tenant  string            `json:"tenant,omitempty"`
	Stream  string            `json:"stream,omitempty"`
	From    string            `json:"from,omitempty"`
	To      string            `json:"to,omitempty"`     // the recipient this step is about
	Text    string            `json:"text,omitempty"`   // for people; the remote's own words where there are any
	Code    int               `json:"code,omitempty"`   // SMTP reply code
	Detail  map[string]string `json:"detail,omitempty"` // e.g. host, tls, mailbox, uid, next
	// MessageID is the message's Message-ID field; only in Accepted.
	MessageID string `json:"message_id,omitempty"`
	// Steps are the timings of a transfer: connect, commands, transfer … in
	// milliseconds since the step before.
	Steps []Step `json:"steps,omitempty"`
}

// Step is a named part of an event with its duration.
type Step struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}
