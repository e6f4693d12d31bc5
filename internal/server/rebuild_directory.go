package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"posthouse/internal/blob/segment"
	"posthouse/internal/config"
	"posthouse/internal/directory"
	"posthouse/internal/id"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/record"
	"posthouse/internal/smtp"
)

// restoreDirectory makes the directory again from the copies of its objects in the
// log, and from the old index where that has what the log lost. It also notes which
// accounts have mail.
func (b *rebuilder) restoreDirectory(ctx context.Context) error {
	var objects []directory.Object
	err := b.ground.bodies.Records(ctx, func(r segment.Record) error {
		meta, err := record.Decode(r.Meta)
		if err != nil {
			return nil
		}
		if meta.Kind != record.Directory {
			b.noteHolders(meta)
			return nil
		}
		if r.Err != nil {
			return nil
		}
		data, err := io.ReadAll(r.Body)
		objects = append(objects, directory.Object{Name: meta.Object, Date: meta.Date, Ref: r.Ref, Data: data})
		return err
	})
	if err != nil {
		return err
	}
	passed, err := b.directory.Restore(ctx, directory.Merge(objects, b.old))
	for _, e := range passed {
		b.doubt("directory: %v", e)
	}
	if err != nil {
		return fmt.Errorf("restore the directory: %w", err)
	}
	accounts, err := b.directory.Accounts(ctx)
	for _, a := range accounts {
		b.accounts[a.ID] = true
	}
	b.made.Accounts = len(accounts)
	return err
}

// oldDirectory is the directory as the index has it that is to be replaced, as far as
// that can be read. It writes nothing.
func oldDirectory(ctx context.Context, cfg *config.Config, say func(string)) ([]directory.Object, error) {
	dir := filepath.Join(cfg.Data, indexDir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	db, err := pebble.Open(dir, pebble.Options{ReadOnly: true})
	if errors.Is(err, pebble.ErrLocked) {
		return nil, err
	}
	var objects []directory.Object
	if err == nil {
		objects, _, err = directory.Stored(ctx, db) // what is damaged is looked for in the log
		_ = db.Close()                              // nothing was written
	}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		say("the old index cannot be read: " + first)
	}
	return objects, ctx.Err()
}

// noteHolders keeps the last address of every account that a message was filed for;
// "" when only its owner put messages there.
func (b *rebuilder) noteHolders(meta *record.Meta) {
	for _, l := range meta.Local {
		n := id.Account(l.Account)
		if _, known := b.holders[n]; !known || l.Address != "" {
			b.holders[n] = l.Address
		}
	}
}

// recoverAccounts makes accounts again that have mail and no record and were not
// removed. It gives all that have mail and had no record, with what became of each.
func (b *rebuilder) recoverAccounts(ctx context.Context) (map[id.Account]string, error) {
	missing := make(map[id.Account]string)
	for _, n := range slices.Sorted(maps.Keys(b.holders)) {
		if b.accounts[n] {
			continue
		}
		if b.directory.WasRemoved(n) {
			missing[n] = ""
			continue
		}
		addr, err := smtp.ParseAddress(b.holders[n])
		if err != nil {
			addr = smtp.Address{}
		}
		a, err := b.directory.Recover(ctx, n, addr, b.cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("make account %d again: %w", n, err)
		}
		b.accounts[n] = true
		b.made.Accounts++
		missing[n] = a.Address.String()
	}
	return missing, nil
}

// tellMissing tells what became of mail whose account had no record.
func (b *rebuilder) tellMissing(missing map[id.Account]string) {
	for _, n := range slices.Sorted(maps.Keys(missing)) {
		if address := missing[n]; address != "" {
			b.doubt("account/%d: its record is lost: made again as %s, without a password, with %d messages", n, address, b.filed[n])
		} else {
			b.say(fmt.Sprintf("account/%d: it was removed: %d messages stay away", n, b.filed[n]))
		}
	}
}

// whose tells whose message a damaged record was, when it says so itself.
func whose(meta []byte) string {
	m, err := record.Decode(meta)
	switch {
	case err != nil:
		return ""
	case m.Kind == record.Directory:
		return " (" + m.Object + ")"
	}
	var to []string
	for _, l := range m.Local {
		to = append(to, fmt.Sprintf("account/%d %s %q", l.Account, l.Address, l.Mailbox))
	}
	for _, q := range m.Queued {
		to = append(to, q.To)
	}
	return " (message for " + strings.Join(to, ", ") + ")"
}
