// Package record is what is written beside every body in the log, so that the
// index can be made again from the bodies alone ("posthouse rebuild").
package record

import (
	"encoding/json"
	"time"

	"posthouse/internal/envelope"
)

// Kind says what a body is.
type Kind string

// The kinds of body.
const (
	Message   Kind = "message"   // a message that came with an envelope
	Append    Kind = "append"    // a message that a client put into a mailbox
	Directory Kind = "directory" // one object of the directory, as JSON
)

// Version is the version of the form of a Meta.
const Version = 1

// Meta is stored with a body.
type Meta struct {
	Version  int                `json:"v"`
	Kind     Kind               `json:"kind"`
	Envelope *envelope.Envelope `json:"envelope,omitempty"`
	Local    []Local            `json:"local,omitempty"`  // mailboxes it was filed in on arrival
	Queued   []Queued           `json:"queued,omitempty"` // recipients it was queued for
	Skip     int                `json:"skip,omitempty"`   // bytes at the start (Return-Path) that are not relayed
	Flags    []string           `json:"flags,omitempty"`
	Date     time.Time          `json:"date"`
	Object   string             `json:"object,omitempty"` // Directory: "account/17", "domain/example.org" …
	Deleted  bool               `json:"deleted,omitempty"`
}

// Local is one mailbox.
type Local struct {
	Account uint64 `json:"account"`
	Address string `json:"address,omitempty"` // of the account, for people
	Mailbox string `json:"mailbox"`
}

// Queued is one recipient elsewhere.
type Queued struct {
	To      string `json:"to"`
	Prepend string `json:"prepend,omitempty"` // header lines added for this recipient
	// What the sender asked for it, as in envelope.Rcpt.
	Notify       string    `json:"notify,omitempty"`
	ORcpt        string    `json:"orcpt,omitempty"`
	RRVS         time.Time `json:"rrvs,omitzero"`
	RRVSContinue bool      `json:"rrvs_continue,omitempty"`
}

// Encode is the form stored.
func (m *Meta) Encode() ([]byte, error) {
	m.Version = Version
	return json.Marshal(m)
}

// Decode reads a stored form.
func Decode(b []byte) (*Meta, error) {
	m := new(Meta)
	return m, json.Unmarshal(b, m)
}
