// Package queue is the durable outbound queue and its schedule: one entry per
// recipient, one body per message. Everything it knows in memory is rebuilt from
// the store at start. It decides when to try, how often and when to give up;
// the courier decides nothing about that.
package queue

import (
	"context"
	"hash/fnv"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Shards is the number of queue partitions.
const Shards = 16

// Message is one message handed to the queue for some recipients elsewhere.
type Message struct {
	Envelope  *envelope.Envelope // Rcpts are not read
	Body      blob.Ref
	Skip      int64 // bytes at the start of the body that are not relayed (our Return-Path)
	Size      int64 // of what is relayed, without Prepend
	Rcpts     []Rcpt
	EightBit  bool // needs 8BITMIME
	UTF8      bool // the header needs SMTPUTF8
	BareLines bool // has CR or LF outside CRLF, or NUL
	MessageID string
}

// Rcpt is one recipient of a Message.
type Rcpt struct {
	envelope.Rcpt
	Prepend string // header lines put before the message for this recipient, CRLF-ended
}

// Partition is the shard that a message's entries are in; name it in the Update.
func Partition(msg id.ID) kv.Partition { return kv.QueueShard(shardOf(msg)) }

func shardOf(msg id.ID) uint16 {
	h := fnv.New32a()
	h.Write([]byte(msg))
	return uint16(h.Sum32() % Shards)
}

// State of an entry.
type State string

// The states.
const (
	Ready   State = "ready"   // being tried, or waiting for its turn
	Waiting State = "waiting" // for its next attempt
	Held    State = "held"    // by an operator
)

// Entry is one recipient waiting, as operators see it.
type Entry struct {
	ID        string    `json:"id"` // message id "." recipient number
	Message   id.ID     `json:"message"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Domain    string    `json:"domain"`
	Size      int64     `json:"size"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Next      time.Time `json:"next_attempt"`
	Expires   time.Time `json:"expires"`
	Attempts  int       `json:"attempts"`
	Last      string    `json:"last_result,omitempty"`
	Judgement           // of the last result
	Site      string    `json:"site,omitempty"`   // the mail hosts, as far as they are known
	Source    string    `json:"source,omitempty"` // that it leaves from
	Priority  string    `json:"priority"`         // "urgent", "high", "normal", "low" or "last"
	Via       string    `json:"via,omitempty"`    // where an operator sends it
	// Why says what it waits for, Until until when, if that is known.
	Why   string    `json:"why"`
	Until time.Time `json:"until,omitzero"`
	// Hint says what can be done about it, in plain words.
	Hint    string    `json:"hint,omitempty"`
	History []Attempt `json:"history,omitempty"` // only from Show
}

// Attempt is one try.
type Attempt struct {
	At     time.Time `json:"at"`
	Host   string    `json:"host,omitempty"`
	Result string    `json:"result"`
	Judgement
}

// Selector chooses entries; all set fields must match. A zero Selector matches all.
type Selector struct {
	Domain    string
	Below     bool // with Domain: the domains below it as well
	Sender    string
	Recipient string
	ID        string // of an entry or of a message
	OlderThan time.Duration
	Site      string // as Sites names it, or one of its hosts
	Source    string
	State     State
	Priority  string // as Entry.Priority
}

// Page is a part of a list: at most Limit entries (default and most 10,000) with
// IDs after After.
type Page struct {
	After string
	Limit int
}

// Site is the traffic with a set of mail hosts from one source.
type Site struct {
	Site   string `json:"site"`
	Source string `json:"source,omitempty"`
	Ready  int    `json:"ready"`  // entries that could go
	Busy   int    `json:"busy"`   // attempts under way
	Window int    `json:"window"` // attempts that there may be, and the most there ever may
	Max    int    `json:"max"`
	// Cut is when the window last shrank, CutWhy the answer that made it.
	Cut    time.Time `json:"cut,omitzero"`
	CutWhy string    `json:"cut_why,omitempty"`
	// Fails is how often in a row it could not be used; nothing is tried before
	// Until, and Why says what it said or what happened.
	Fails int       `json:"fails,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Why   string    `json:"why,omitempty"`
	// Suspended is why an operator stopped the mail there.
	Suspended string   `json:"suspended,omitempty"`
	Limits    []string `json:"limits,omitempty"` // patterns of the limits it is under
}

// Suspension is an operator's stop to the mail for a domain or a site, the new
// mail as well. One of Domain and Site is set.
type Suspension struct {
	Domain string    `json:"domain,omitempty"`
	Site   string    `json:"site,omitempty"` // as Sites names it, or one of its hosts
	Since  time.Time `json:"since"`
	Why    string    `json:"why,omitempty"`
}

// Traffic is what goes where.
type Traffic struct {
	Sites     []Site       `json:"sites"` // in the order of their names
	Suspended []Suspension `json:"suspended"`
}

// Enqueuer is the side of the queue that intake uses.
type Enqueuer interface {
	// EnqueueTx writes m's entries as part of the caller's transaction, which
	// must cover Partition(m.Envelope.ID). The caller counts the body's
	// references: one for the whole Message. After the transaction is durable
	// the caller calls Enqueued.
	EnqueueTx(tx kv.Tx, m *Message) error
	// Enqueued puts m on the schedule. It does not block.
	Enqueued(m *Message)
	// HeldFor tells how much mail an account has held until a time.
	HeldFor(a id.Account) Holds
}

// Holds is mail that waits because its sender wants it to (FUTURERELEASE, RFC
// 4865).
type Holds struct {
	Messages int
	Octets   int64
}

// Admin is the side that operators use.
type Admin interface {
	// List gives a page of the entries that a selector chooses, oldest first.
	List(ctx context.Context, sel Selector, page Page) ([]Entry, error)
	Show(ctx context.Context, entry string) (Entry, error)
	Retry(ctx context.Context, sel Selector) (int, error)
	Hold(ctx context.Context, sel Selector) (int, error)
	Release(ctx context.Context, sel Selector) (int, error)
	// Drop removes entries without a DSN.
	Drop(ctx context.Context, sel Selector) (int, error)
	// Reroute sends entries through a host, by a URL as in a configured route, or
	// with "mx" by their domains again. It does not change when they are tried.
	Reroute(ctx context.Context, sel Selector, to string) (int, error)
	// Sites shows the traffic.
	Sites(ctx context.Context) (Traffic, error)
	// Suspend stops the mail for a domain or a site until Resume, which tells
	// whether it was stopped. Senders are told of delays meanwhile, and old mail
	// is returned.
	Suspend(ctx context.Context, s Suspension) error
	Resume(ctx context.Context, s Suspension) (bool, error)
}
