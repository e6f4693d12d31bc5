// Package message reads and writes Internet messages (RFC 5322, MIME): a
// one-pass parser that notes byte offsets, headers and charsets, and a builder.
// It does no I/O and never gives up on bad input: whatever arrives has a
// structure.
package message

import "time"

// Summary is what the house needs to know of a message without reading it
// again. It is computed once, when the message arrives, and stored beside the
// message's index entry.
type Summary struct {
	Envelope   Envelope
	Root       Part
	Size       int64    // bytes of the whole message
	References []string // message-ids of References and In-Reply-To, without brackets, each at most 4,096 bytes, at most 100, the latest kept
	Received   int      // number of Received fields
	BareLines  bool     // a CR or LF that is not part of a CRLF
	NUL        bool     // a NUL byte
	EightBit   bool     // a byte above 127 in the body
	UTF8Header bool     // a byte above 127 in a header: needs SMTPUTF8 (RFC 6531)
	Bounded    bool     // the message goes beyond a bound of the Parser: some of its addresses, texts or parts are not here
	Kept       Kept     // how much of it is here, when it was read from a store
}

// Kept says how much of a Summary its encoding has room for.
type Kept uint8

// What is kept, the most first. Who needs more parses the message again.
const (
	KeptWhole    Kept = iota // all of it
	KeptEnvelope             // all but the structure: Root has neither parts nor texts
	KeptTraits               // nor is the envelope whole: only numbers, flags, Time, and the message-ids that make threads
)

// Envelope is the ENVELOPE of RFC 9051 section 7.5.2. Texts are the fields' raw
// bytes, unfolded and trimmed, encoded words (RFC 2047) left as they are. Nil
// slices stand for absent fields; an absent Sender or ReplyTo is not filled in
// (IMAP does that when it writes).
type Envelope struct {
	Date      string
	Subject   string
	From      []Address
	Sender    []Address
	ReplyTo   []Address
	To        []Address
	Cc        []Address
	Bcc       []Address
	InReplyTo string
	MessageID string    // with its brackets
	Time      time.Time // Date parsed, zero if it cannot be

	// An empty field is not an absent one.
	HasDate, HasSubject, HasInReplyTo, HasMessageID bool
}

// Address is one address of a header field, or the start or end of a group
// (RFC 9051 section 7.5.2: start has Mailbox = group name and Host "" with
// Group GroupStart; the end has both empty with GroupEnd).
type Address struct {
	Name    string // display name, raw: unquoted, encoded words left as they are
	Mailbox string // local part, unquoted
	Host    string
	Group   Group
}

// Group marks group syntax in an address list.
type Group uint8

// The kinds of Address.
const (
	GroupNone Group = iota
	GroupStart
	GroupEnd
)

// Param is a parameter of a MIME field. Continuations (RFC 2231 section 3) are joined;
// a value with a charset (section 4) stays as it is, and its name ends in "*"
// (section 6): Part.Param decodes it.
type Param struct{ Name, Value string }

// Part is one MIME entity. Offsets are from the start of the whole message.
type Part struct {
	Type, Subtype string // as given; TEXT and PLAIN when absent or broken
	Params        []Param
	ID            string // Content-ID, with its brackets
	Description   string
	Encoding      string // Content-Transfer-Encoding as given, "7BIT" when absent
	MD5           string
	Disposition   string // "" when absent
	DispParams    []Param
	Language      []string
	Location      string

	HeaderStart int64 // the entity's header, up to and including its empty line
	BodyStart   int64 // = end of the header
	BodyEnd     int64 // end of the body, without the CRLF that belongs to the boundary after it
	Lines       int64 // lines of the body (for text and message/rfc822)

	// Parts are the children of multipart/*, at least one: where they cannot be
	// known (no boundary, a bound of the parser), one text/plain child without a
	// header stands for the whole body.
	Parts []Part
	// Message is the message inside message/rfc822 and message/global. It is nil
	// where the message is encoded or a bound of the parser is met: the part is
	// then a leaf like any other.
	Message *Embedded
}

// Embedded is the message inside a message/rfc822 part; it begins at the part's
// BodyStart.
type Embedded struct {
	Envelope Envelope
	Root     Part
}
