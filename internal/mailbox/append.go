package mailbox

import (
	"context"
	"errors"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/kv"
	"posthouse/internal/record"
)

// flagName is a system flag as IMAP and the records beside bodies write it.
type flagName struct {
	flag Flags
	name string
}

var flagNames = [...]flagName{
	{Seen, `\Seen`}, {Answered, `\Answered`}, {Flagged, `\Flagged`}, {Deleted, `\Deleted`}, {Draft, `\Draft`},
}

func (f Flags) names(keywords []string) []string {
	var out []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			out = append(out, n.name)
		}
	}
	return append(out, keywords...)
}

// Append files a message that arrived over IMAP: quota, body, index in one.
// in is used up, also on error.
func (a *Account) Append(ctx context.Context, mailbox string, in *Incoming, flags Flags, keywords []string, date time.Time) (Delivered, error) {
	defer in.Abort()
	s := a.a.s
	name, err := CleanName(mailbox)
	if err != nil {
		return Delivered{}, ErrNoMailbox
	}
	quota, err := s.quota(ctx, a.a.id)
	if err != nil {
		return Delivered{}, err
	}
	if err := a.a.admits(ctx, name, in.Size(), quota); err != nil {
		return Delivered{}, err
	}
	if date.IsZero() {
		date = s.opt.Clock.Now()
	}
	meta := record.Meta{
		Kind:  record.Append,
		Local: []record.Local{{Account: uint64(a.a.id), Mailbox: name}},
		Flags: flags.names(keywords),
		Date:  date.UTC(),
	}
	metaBytes, err := meta.Encode()
	if err != nil {
		return Delivered{}, err
	}
	stored, err := in.Commit(ctx, metaBytes)
	if err != nil {
		return Delivered{}, err
	}
	return a.a.append(ctx, name, stored, flags, keywords, date, quota)
}

// admits says early what the transaction would say, before a body is stored for
// nothing.
func (a *account) admits(ctx context.Context, name string, size, quota int64) error {
	u, err := a.s.Usage(ctx, a.id)
	if err != nil {
		return err
	}
	if overQuota(u.Bytes, size, quota) {
		return ErrOverQuota
	}
	_, err = a.idOf(ctx, name)
	return err
}

func overQuota(used, more, quota int64) bool { return quota > 0 && used+more > quota }

// append files a stored body, or gives it back.
func (a *account) append(ctx context.Context, name string, stored Stored, flags Flags, keywords []string, date time.Time, quota int64) (done Delivered, err error) {
	var refused error // what fn itself said
	modseq, err := a.s.update(ctx, a.id, func(e *edit) error {
		done, refused = e.append(name, stored, flags, keywords, date, quota)
		if refused == nil {
			refused = a.s.counts.AddTx(e.tx, stored.Ref, 1)
		}
		return refused
	}, refs.Partition(stored.Ref))
	if err != nil {
		if refused != nil || errors.Is(err, kv.ErrFull) { // nothing is written for certain
			return Delivered{}, errors.Join(err, a.s.counts.Release(stored.Ref))
		}
		return Delivered{}, err
	}
	return done, a.changed(ctx, modseq)
}

func (e *edit) append(name string, stored Stored, flags Flags, keywords []string, date time.Time, quota int64) (Delivered, error) {
	if overQuota(e.head.bytes, int64(stored.Ref.Length), quota) {
		return Delivered{}, ErrOverQuota
	}
	box, err := e.boxNamed(name)
	if err != nil {
		return Delivered{}, err
	}
	bits, err := box.keywordBits(keywords, true)
	if err != nil {
		return Delivered{}, err
	}
	return box.file(stored, flags, bits, date)
}
