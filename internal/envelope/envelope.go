// Package envelope is a message's envelope as the house carries it from the
// door that took it in to the mailbox or the courier: who sent it, to whom, how
// it came.
package envelope

import (
	"net/netip"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// Stream is the kind of mail an outgoing message belongs to.
type Stream string

// The streams. Mail that says nothing is person-to-person.
const (
	Person        Stream = "person"
	Transactional Stream = "transactional"
	Bulk          Stream = "bulk"
)

// MainTenant is the tenant of a house that serves one owner.
const MainTenant = "main"

// BodyType is the BODY parameter of MAIL (RFC 6152, RFC 3030).
type BodyType string

// The body types; "" means that MAIL did not say.
const (
	Body7Bit   BodyType = "7BIT"
	Body8Bit   BodyType = "8BITMIME"
	BodyBinary BodyType = "BINARYMIME"
)

// ByMode is what happens when DeliverBy is reached (RFC 2852 section 4).
type ByMode string

// The modes; "" without DELIVERBY.
const (
	ByReturn ByMode = "R" // the message is returned
	ByNotify ByMode = "N" // the sender is told, delivery goes on
)

// PriorityBy is where a message's priority stands, besides in its envelope.
type PriorityBy string

// The places.
const (
	PriorityParameter PriorityBy = "parameter" // nowhere: MT-PRIORITY was a parameter of MAIL (RFC 6710)
	PriorityField     PriorityBy = "field"     // in its field MT-Priority (RFC 6758)
)

// Envelope travels beside a message's body.
type Envelope struct {
	ID     id.ID
	Tenant string
	Stream Stream
	From   smtp.Address // reverse-path; zero is the null one
	Rcpts  []Rcpt
	Body   BodyType
	Size   int64  // SIZE of MAIL (RFC 1870), 0 when the client did not say
	UTF8   bool   // SMTPUTF8 was asked for (RFC 6531)
	Ret    string // RET of RFC 3461: "FULL", "HDRS" or ""
	EnvID  string // ENVID of RFC 3461, decoded
	// RequireTLS asks for TLS with a verified server at every hop (RFC 8689).
	RequireTLS bool `json:",omitzero"`
	// TLSOptional: the message asks to be sent whatever TLS policy its recipients'
	// domains have ("TLS-Required: No", RFC 8689 section 3).
	TLSOptional bool `json:",omitzero"`
	// HoldUntil is before when the message must not leave (FUTURERELEASE, RFC
	// 4865); zero is at once.
	HoldUntil time.Time `json:",omitzero"`
	// HoldRequest is how that was asked for: "for;" and seconds, or "until;" and a
	// time (RFC 4865 section 5.1.2).
	HoldRequest string `json:",omitzero"`
	// DeliverBy is when it must have been delivered (RFC 2852); zero is no bound.
	DeliverBy time.Time `json:",omitzero"`
	ByMode    ByMode    `json:",omitzero"`
	ByTrace   bool      `json:",omitzero"` // "T": tell the sender of every relaying (RFC 2852 section 4.1.4)
	// Priority is MT-PRIORITY, -9 to 9 (RFC 6710); 0 is what everybody gets.
	Priority int `json:",omitzero"`
	// PriorityBy is how it was asked for; "" when it was not.
	PriorityBy PriorityBy `json:",omitzero"`
	// Solicit is the classes of solicitations that the message is of, with commas
	// between (RFC 3865); "" is none.
	Solicit  string `json:",omitzero"`
	Origin   Origin
	Received time.Time
}

// Rcpt is one forward-path.
type Rcpt struct {
	To     smtp.Address
	Notify string // NOTIFY of RFC 3461: comma-separated, "" when absent
	ORcpt  string // ORCPT of RFC 3461, decoded, with its address type; "" when absent
	// RRVS is since when the mailbox must have belonged to the same person (RFC
	// 7293); zero when absent. RRVSContinue is its "C": a server that passes the
	// message on drops the condition where the next cannot keep it.
	RRVS         time.Time `json:",omitzero"`
	RRVSContinue bool      `json:",omitzero"`
}

// OwnerField is the header field that carries RRVS through servers that do not
// have it (RFC 7293 section 3.2).
const OwnerField = "Require-Recipient-Valid-Since"

// Origin is how and from where the message came.
type Origin struct {
	Session  id.ID
	Door     string         // listener's name: "smtp", "submission", "submissions", "lmtp", "internal"
	Protocol string         // "with" of the Received field: "ESMTPS", "LMTP" … (RFC 3848, RFC 6531)
	Remote   netip.AddrPort // the client; invalid for a Unix socket or our own mail
	Name     string         `json:",omitzero"` // the client's host name, when a proxy has told it
	Helo     string         // as the client gave it
	TLS      string         // e.g. "TLS1.3 TLS_AES_128_GCM_SHA256"; "" without TLS
	Login    string         // authenticated account's address; "" for none
	Account  id.Account     // the same account; 0 for none
}
