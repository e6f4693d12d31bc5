package mailbox

import (
	"errors"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// defaultBoxes are the mailboxes of a new account. INBOX is first: its id is inboxID.
var defaultBoxes = [...]nameUse{
	{inboxName, ""},
	{"Drafts", `\Drafts`},
	{"Sent", `\Sent`},
	{"Junk", `\Junk`},
	{"Trash", `\Trash`},
	{"Archive", `\Archive`},
}

type nameUse struct{ name, use string }

// CreateTx makes the mailboxes of a new account: INBOX, Drafts, Sent, Junk,
// Trash, Archive, with their special uses, subscribed. tx must cover
// kv.AccountPartition(acct). An account that has its mailboxes already answers
// ErrExists.
func (s *Store) CreateTx(tx kv.Tx, acct id.Account) error {
	_, err := s.begin(tx, acct)
	if err == nil {
		return ErrExists
	}
	if !errors.Is(err, ErrDeleted) {
		return err
	}
	e := s.newEdit(tx, acct)
	e.head = head{nextBox: inboxID, nextMessage: 1}
	for _, d := range defaultBoxes {
		if _, err := e.create(d.name, d.use); err != nil {
			return err
		}
		if err := tx.Set(e.keys.subscribed(d.name), nil); err != nil {
			return err
		}
	}
	return e.finish()
}

// DeliverTx files a message as part of the caller's transaction, which must
// cover kv.AccountPartition(d.Account) and refs.Partition(d.Stored.Ref). The
// caller counts the references to the body itself (one for each Delivery):
// refs.Counter.AddTx. After the transaction is durable the caller calls Published.
//
// An account without mailboxes answers ErrDeleted, one in which the message does not
// fit ErrOverQuota (nothing is written by either), a name that no mailbox can have
// ErrBadName. Keywords for which the mailbox has no room are left out: mail
// is not refused for them.
func (s *Store) DeliverTx(tx kv.Tx, d Delivery) (Delivered, error) {
	name, err := CleanName(d.Mailbox)
	if err != nil {
		return Delivered{}, err
	}
	e, err := s.begin(tx, d.Account)
	if err != nil {
		return Delivered{}, err
	}
	if overQuota(e.head.bytes, int64(d.Stored.Ref.Length), d.Quota) {
		return Delivered{}, ErrOverQuota
	}
	box, err := e.boxNamed(name)
	if errors.Is(err, ErrNoMailbox) {
		box, err = e.createWithParents(name, "")
	}
	if err != nil {
		return Delivered{}, err
	}
	bits, err := box.keywordBits(d.Keywords, true)
	if err != nil && !errors.Is(err, ErrKeywords) {
		return Delivered{}, err
	}
	done, err := box.file(d.Stored, d.Flags, bits, d.InternalDate)
	if err != nil {
		return Delivered{}, err
	}
	return done, e.finish()
}

// file gives a stored message its number and its place in the mailbox.
func (b *boxEdit) file(m Stored, flags Flags, keywords uint64, date time.Time) (Delivered, error) {
	e := b.e
	n := e.head.nextMessage
	e.head.nextMessage++
	if m.row == nil {
		m.row = encodeSummary(m.Summary)
	}
	if err := e.tx.Set(e.keys.summary(n), m.row); err != nil {
		return Delivered{}, err
	}
	body := bodyRow{ref: m.Ref, rows: 1}
	if err := e.tx.Set(e.keys.body(n), body.encode()); err != nil {
		return Delivered{}, err
	}
	thread, err := e.thread(n, m.Summary)
	if err != nil {
		return Delivered{}, err
	}
	if date.IsZero() {
		date = e.now
	}
	entry, err := b.put(Entry{
		Flags: flags, Keywords: keywords,
		Size:         uint32(min(m.Ref.Length, 1<<32-1)),
		InternalDate: date.Unix(), SaveDate: e.now.Unix(),
		Message: n, Thread: thread,
	})
	return Delivered{UIDValidity: b.row.uidValidity, UID: entry.UID, ModSeq: entry.ModSeq, Message: n}, err
}
