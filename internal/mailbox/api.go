// Package mailbox keeps the mailboxes: messages, flags, changes, search. One
// account is one kv partition. A mailbox in memory is an immutable Snapshot;
// every change publishes a new one, after it is durable.
package mailbox

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/message"
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
	ErrTooBig      = errors.New("mailbox: message too big")
	ErrGone        = errors.New("mailbox: message is gone") // expunged meanwhile
	ErrDeleted     = errors.New("mailbox: mailbox was deleted")
)

// Separator is the hierarchy separator. INBOX is case-insensitive as the first
// level; names are UTF-8 (NFC), each level 1..255 bytes, the whole at most 512.
const Separator = '/'

// Flags are the system flags as bits.
type Flags uint16

// The system flags (RFC 9051 section 2.3.2). \Recent is not kept.
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
	// Quota tells an account's limit in bytes, 0 for none.
	Quota func(context.Context, id.Account) (int64, error)
}

// Store is the mailboxes of all accounts.
type Store struct{ impl *storeImpl }

// Open makes a Store over its ground. It starts the goroutine that drops
// recoverable bodies whose time is over; Close stops it.
func Open(db kv.Store, bodies blob.Store, counts *refs.Counter, opt Options) (*Store, error) {
	panic("not built")
}

// Close stops background work. It does not close the ground.
func (s *Store) Close() error { panic("not built") }

// CreateTx makes the mailboxes of a new account: INBOX, Drafts, Sent, Junk,
// Trash, Archive, with their special uses, subscribed. tx must cover
// kv.AccountPartition(acct).
func (s *Store) CreateTx(tx kv.Tx, acct id.Account) error { panic("not built") }

// Remove deletes everything an account has and releases its bodies; sessions
// that are open on it get ErrDeleted.
func (s *Store) Remove(ctx context.Context, acct id.Account) error { panic("not built") }

// Usage is what an account holds.
type Usage struct {
	Bytes    int64
	Messages int64
}

// Usage reads an account's usage.
func (s *Store) Usage(ctx context.Context, acct id.Account) (Usage, error) { panic("not built") }

// ---- putting messages in ----

// Incoming receives one message: its bytes go to the body store and through the
// MIME parser on their way. It is shared by delivery and APPEND.
type Incoming struct{ impl *incomingImpl }

// NewIncoming begins a message. It accepts at most Options.MaxMessageSize bytes,
// then Write answers ErrTooBig.
func (s *Store) NewIncoming(ctx context.Context) (*Incoming, error) { panic("not built") }

var _ io.Writer = (*Incoming)(nil)

// Write adds bytes of the message.
func (in *Incoming) Write(p []byte) (int, error) { panic("not built") }

// Size is the number of bytes so far.
func (in *Incoming) Size() int64 { panic("not built") }

// Summary ends the message and gives what the parser found; Write must not be
// called after it.
func (in *Incoming) Summary() *message.Summary { panic("not built") }

// Commit makes the body durable with meta (see package record) and returns it.
func (in *Incoming) Commit(ctx context.Context, meta []byte) (Stored, error) { panic("not built") }

// Abort drops the message; it does nothing after Commit.
func (in *Incoming) Abort() { panic("not built") }

// Stored is a durable body that no mailbox refers to yet.
type Stored struct {
	Ref     blob.Ref
	Summary *message.Summary
}

// Delivery says where a stored message goes in one account.
type Delivery struct {
	Account      id.Account
	Mailbox      string // created when it does not exist
	Stored       Stored
	Flags        Flags
	Keywords     []string
	InternalDate time.Time
}

// Delivered is where it went.
type Delivered struct {
	UIDValidity uint32
	UID         uint32
	ModSeq      uint64
	Message     uint64
}

// DeliverTx files a message as part of the caller's transaction, which must
// cover kv.AccountPartition(d.Account) and refs.Partition(d.Stored.Ref). The
// caller counts the references to the body itself (one for each Delivery):
// refs.Counter.AddTx. Quota is not checked. After the transaction is durable the caller calls Published.
func (s *Store) DeliverTx(tx kv.Tx, d Delivery) (Delivered, error) { panic("not built") }

// Published tells the sessions of acct that a transaction with a DeliverTx is
// durable. It does not block.
func (s *Store) Published(acct id.Account) { panic("not built") }

// ---- reading and changing: what imapd, pop3d and httpd use ----

// Account opens an account's mailboxes; Release it when done. Accounts stay
// loaded for a while after their last release.
func (s *Store) Account(ctx context.Context, acct id.Account) (*Account, error) { panic("not built") }

// Account is one account's mailboxes. Safe for concurrent use.
type Account struct{ impl *accountImpl }

// Release ends the use of an account.
func (a *Account) Release() { panic("not built") }

// Info describes a mailbox or a subscribed name.
type Info struct {
	Name       string
	ID         uint32 // MAILBOXID; 0 for a name that is only subscribed or only a parent
	Exists     bool   // false: \NonExistent
	Subscribed bool
	SpecialUse string // `\Drafts`, `\Sent`, `\Junk`, `\Trash`, `\Archive`, or ""
	Children   bool   // has existing children
}

// Mailboxes lists existing mailboxes and subscribed names in order, INBOX
// first, parents before children.
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error) { panic("not built") }

// MailboxesChanged is a channel that holds a value after the list of mailboxes
// or subscriptions changed, and a function that ends the watch.
func (a *Account) MailboxesChanged() (<-chan struct{}, func()) { panic("not built") }

// Create makes a mailbox and its missing parents; specialUse may be "".
func (a *Account) Create(ctx context.Context, name, specialUse string) (Info, error) {
	panic("not built")
}

// Delete removes a mailbox and its messages. A mailbox with children becomes
// \NonExistent; INBOX cannot be deleted (ErrNotAllowed).
func (a *Account) Delete(ctx context.Context, name string) error { panic("not built") }

// Rename renames a mailbox with its children; renaming INBOX moves its messages
// to a new mailbox (RFC 9051 section 6.3.6).
func (a *Account) Rename(ctx context.Context, from, to string) error { panic("not built") }

// Subscribe sets or clears a subscription; the name need not exist.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error { panic("not built") }

// Status is a mailbox's counters.
type Status struct {
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	Size          int64 // sum of sizes (RFC 8438)
	DeletedSize   int64
	UIDNext       uint32
	UIDValidity   uint32
	HighestModSeq uint64
	ID            uint32 // MAILBOXID
}

// Status reads the counters of a mailbox without loading its messages.
func (a *Account) Status(ctx context.Context, name string) (Status, error) { panic("not built") }

// Open loads a mailbox (or shares the loaded one); Close it when done.
func (a *Account) Open(ctx context.Context, name string) (*Mailbox, error) { panic("not built") }

// Append files a message that arrived over IMAP: quota, body, index in one.
// in is used up, also on error.
func (a *Account) Append(ctx context.Context, mailbox string, in *Incoming, flags Flags, keywords []string, date time.Time) (Delivered, error) {
	panic("not built")
}

// Mailbox is one loaded mailbox, shared by all its sessions. Safe for
// concurrent use.
type Mailbox struct{ impl *mailboxImpl }

// Close ends the use of a mailbox.
func (m *Mailbox) Close() { panic("not built") }

// Name is the mailbox's name now; "" after it was deleted.
func (m *Mailbox) Name() string { panic("not built") }

// ID is the MAILBOXID number.
func (m *Mailbox) ID() uint32 { panic("not built") }

// Snapshot is the latest published state; never nil.
func (m *Mailbox) Snapshot() *Snapshot { panic("not built") }

// Changed is a channel that holds a value after a new snapshot was published or
// the mailbox was deleted, and a function that ends the watch.
func (m *Mailbox) Changed() (<-chan struct{}, func()) { panic("not built") }

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

// StoreFlags changes flags. UIDs that are not there are passed over. When it
// returns, Snapshot shows the change.
func (m *Mailbox) StoreFlags(ctx context.Context, r StoreRequest) (StoreResult, error) {
	panic("not built")
}

// Expunge removes messages: those of uids, or all of them when uids is nil, that
// carry \Deleted; with force the flag is not asked for. It returns the UIDs removed. When it returns,
// Snapshot shows the change.
func (m *Mailbox) Expunge(ctx context.Context, uids UIDSet, force bool) (UIDSet, error) {
	panic("not built")
}

// CopyResult tells the new UIDs, in the order of Source.
type CopyResult struct {
	UIDValidity uint32
	Source      UIDSet
	Dest        UIDSet
}

// Copy copies messages, all or none, with flags, keywords and dates.
func (m *Mailbox) Copy(ctx context.Context, uids UIDSet, dest string) (CopyResult, error) {
	panic("not built")
}

// Move moves messages, all or none, in one transaction (RFC 6851).
func (m *Mailbox) Move(ctx context.Context, uids UIDSet, dest string) (CopyResult, error) {
	panic("not built")
}

// Expunged are the UIDs expunged after modseq since, for QRESYNC; ok is false
// when the log does not reach back that far.
func (m *Mailbox) Expunged(ctx context.Context, since uint64) (uids UIDSet, ok bool, err error) {
	panic("not built")
}

// Summaries calls fn with the summary of each entry, in the order given, until
// it returns false. Entries whose message is gone are passed over. It reads in
// pages and holds no snapshot while fn runs for long.
func (m *Mailbox) Summaries(ctx context.Context, entries iter.Seq[Entry], fn func(Entry, *message.Summary) bool) error {
	panic("not built")
}

// Body opens the bytes of a message; the caller closes it. ErrGone when the
// message was expunged and dropped meanwhile.
func (m *Mailbox) Body(ctx context.Context, e Entry) (blob.Body, error) { panic("not built") }

// Search finds the entries of snap that match c, in order.
func (m *Mailbox) Search(ctx context.Context, snap *Snapshot, c *Criterion) ([]Entry, error) {
	panic("not built")
}

// Lock takes the mailbox's exclusive POP3 lock (RFC 1939 section 3); ok is false
// when another session has it.
func (m *Mailbox) Lock() (unlock func(), ok bool) { panic("not built") }

// Snapshot is one immutable state of a mailbox.
type Snapshot struct{ impl *snapshotImpl }

// Len is the number of messages.
func (s *Snapshot) Len() int { panic("not built") }

// At is the i-th message, 0 <= i < Len; its sequence number is i+1.
func (s *Snapshot) At(i int) Entry { panic("not built") }

// Index finds the first message with UID >= uid: its position, and whether it
// is that very UID.
func (s *Snapshot) Index(uid uint32) (i int, exact bool) { panic("not built") }

// Range iterates over positions [from, to) without copying the snapshot.
func (s *Snapshot) Range(from, to int) iter.Seq2[int, *Entry] { panic("not built") }

// Keywords is the mailbox's dictionary: bit i of Entry.Keywords is Keywords()[i].
func (s *Snapshot) Keywords() []string { panic("not built") }

// KeywordsFull reports that no new keyword can be added (PERMANENTFLAGS without \*).
func (s *Snapshot) KeywordsFull() bool { panic("not built") }

// Status is the counters of this state.
func (s *Snapshot) Status() Status { panic("not built") }

// Diff compares an older snapshot of the same mailbox with s: expunged are
// positions in old (ascending), changed positions in s of messages that old had
// with another modseq; messages from position firstNew of s on are new. Chunks
// the two share cost nothing.
func (s *Snapshot) Diff(old *Snapshot) (expunged []int, changed []int, firstNew int) {
	panic("not built")
}

// UIDRange is an inclusive range, 1 <= First <= Last.
type UIDRange struct{ First, Last uint32 }

// UIDSet is a set of UIDs in order (in CopyResult: in the order of copying).
type UIDSet []UIDRange

type (
	storeImpl    struct{}
	incomingImpl struct{}
	accountImpl  struct{}
	mailboxImpl  struct{}
	snapshotImpl struct{}
)
