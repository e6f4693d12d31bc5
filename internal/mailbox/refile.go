package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/message"
)

// Refile files a body that is in the log into a mailbox, when the index is made
// again: it makes the account and the mailbox if they are missing, and counts
// the reference. flags are system flags and keywords as package record keeps
// them. A name that no mailbox can have means INBOX.
func (s *Store) Refile(ctx context.Context, acct id.Account, mailbox string, ref blob.Ref, sum *message.Summary, flags []string, date time.Time) error {
	name, err := CleanName(mailbox)
	if err != nil {
		name = inboxName
	}
	d := Delivery{Account: acct, Mailbox: name, Stored: Stored{Ref: ref, Summary: sum}, InternalDate: date}
	d.Flags, d.Keywords = parseFlags(flags)
	parts := kv.Partitions{kv.AccountPartition(uint64(acct)), refs.Partition(ref)}
	return s.db.Update(ctx, parts, func(tx kv.Tx) error {
		if err := s.CreateTx(tx, acct); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if err := s.counts.AddTx(tx, ref, 1); err != nil {
			return err
		}
		_, err := s.DeliverTx(tx, d)
		return err
	})
}

// parseFlags parts system flags from keywords.
func parseFlags(names []string) (flags Flags, keywords []string) {
	for _, name := range names {
		i := slices.IndexFunc(flagNames[:], func(f flagName) bool { return strings.EqualFold(f.name, name) })
		switch {
		case i >= 0:
			flags |= flagNames[i].flag
		case !strings.HasPrefix(name, `\`):
			keywords = append(keywords, name)
		}
	}
	return flags, keywords
}
