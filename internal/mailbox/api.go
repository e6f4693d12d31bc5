// Package mailbox keeps the mailboxes: messages, flags, changes, search. One
// account is one kv partition. A mailbox in memory is an immutable Snapshot;
// every change publishes a new one, after it is durable.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/message"
	"posthouse/internal/space"
)

// Errors of this package. Others are internal faults.
var (
	ErrNoMailbox   = errors.New("mailbox: no such mailbox")        // IMAP NONEXISTENT / TRYCREATE
	ErrExists      = errors.New("mailbox: mailbox exists already") // IMAP ALREADYEXISTS
	ErrBadName     = errors.New("mailbox: bad mailbox name")       // IMAP CANNOT
	ErrNotAllowed  = errors.New("mailbox: not possible for this mailbox")
	ErrHasChildren = errors.New("mailbox: mailbox has children")
	ErrOverQuota   = errors.New("mailbox: over quota")        // IMAP OVERQUOTA, 5.2.2
	ErrKeywords    = errors.New("mailbox: too many keywords") // IMAP LIMIT
	ErrLongKeyword = fmt.Errorf("%w: one is longer than %d bytes", ErrKeywords, maxKeyword)
	ErrTooBig      = errors.New("mailbox: message too big")
	ErrGone        = errors.New("mailbox: message is gone") // expunged meanwhile
	ErrDamaged     = errors.New("mailbox: message is damaged")
	ErrDeleted     = errors.New("mailbox: mailbox was deleted")
)

// Separator is the hierarchy separator. INBOX is case-insensitive as the first
// level; names are UTF-8 (NFC), each level 1..255 bytes, the whole at most 512.
const Separator = '/'

// Flags are the system flags as bits.
type Flags uint16

// The system flags (RFC 9051 section 2.3.2). \Recent is not one of them: it belongs to
// the session that Mailbox.Recent names it to.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Entry is the hot part of a message in a mailbox.
type Entry struct {
	UID          uint32
	Flags        Flags
	Keywords     uint64 // bits: indices into Snapshot.Keywords
	ModSeq       uint64
	Size         uint32 // bytes of the message as IMAP and POP3 give it
	InternalDate int64  // Unix seconds; the zone is always UTC
	SaveDate     int64  // Unix seconds: when it came into this mailbox (RFC 8514)
	Message      uint64 // number of the message in its account; copies share it (EMAILID, RFC 8474)
	Thread       uint64 // THREADID
}

// Options of a Store.
type Options struct {
	Clock          clock.Clock
	Recoverable    time.Duration // how long expunged bodies stay recoverable; default 14 days
	MaxMessageSize int64         // APPENDLIMIT; default 50 MB
	// EpochAhead is how far ahead of the clock the UIDVALIDITY of new mailboxes
	// is, for an index that is made again: none of the lost ones may come again.
	EpochAhead time.Duration
	// Space, when set, says whether there is room for copies.
	Space *space.Reserve
	// Quota tells an account's limit in bytes, 0 for none.
	Quota func(context.Context, id.Account) (int64, error)
}

// Usage is what an account holds.
type Usage struct {
	Bytes    int64
	Messages int64
}

// ---- putting messages in ----

// Stored is a durable body that no mailbox refers to yet.
type Stored struct {
	Ref     blob.Ref
	Summary *message.Summary

	row []byte // Summary as it is kept; many recipients share it
}

// Delivery says where a stored message goes in one account.
type Delivery struct {
	Account      id.Account
	Mailbox      string // created when it does not exist
	Stored       Stored
	Flags        Flags
	Keywords     []string
	InternalDate time.Time
	Quota        int64 // bytes that the account may hold with it; 0 is no limit
}

// Delivered is where it went.
type Delivered struct {
	UIDValidity uint32
	UID         uint32
	ModSeq      uint64
	Message     uint64
}

// ---- reading and changing: what imapd, pop3d and httpd use ----

// Info describes a mailbox or a subscribed name.
type Info struct {
	Name       string
	ID         uint32 // MAILBOXID; 0 for a name that is only subscribed or only a parent
	Exists     bool   // false: \NonExistent
	Subscribed bool
	SpecialUse string // `\Drafts`, `\Sent`, `\Junk`, `\Trash`, `\Archive`, or ""
	Children   bool   // has existing children
}

// Status is a mailbox's counters.
type Status struct {
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	Recent        uint32 // messages that no session was told of (see Mailbox.Recent); in a Snapshot it may be more
	Size          int64  // sum of sizes (RFC 8438)
	DeletedSize   int64
	UIDNext       uint32
	UIDValidity   uint32
	HighestModSeq uint64
	ID            uint32 // MAILBOXID
}

// FlagOp says what StoreFlags does with flags and keywords.
type FlagOp uint8

// The three STORE operations.
const (
	FlagsSet FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// StoreRequest is a STORE.
type StoreRequest struct {
	UIDs           UIDSet
	Op             FlagOp
	Flags          Flags
	Keywords       []string // compared without case; unknown ones are added to the mailbox
	UnchangedSince uint64   // valid if HasUnchanged (RFC 7162 section 3.1.3)
	HasUnchanged   bool
}

// StoreResult is what became of it.
type StoreResult struct {
	Failed UIDSet // changed since UnchangedSince: MODIFIED
	ModSeq uint64 // of the change; 0 when nothing changed
}

// CopyResult tells the new UIDs, in the order of Source.
type CopyResult struct {
	UIDValidity uint32
	Source      UIDSet
	Dest        UIDSet
}

// UIDRange is an inclusive range, 1 <= First <= Last.
type UIDRange struct{ First, Last uint32 }

// UIDSet is a set of UIDs in order (in CopyResult: in the order of copying).
type UIDSet []UIDRange
