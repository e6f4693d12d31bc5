package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthouse/internal/directory"
	"posthouse/internal/dns"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/mailbox"
	"posthouse/internal/queue"
	"posthouse/internal/smtp"
)

// House is the API over an open store.
type House struct {
	Hostname  string
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Queues    queue.Admin
	Journal   *journal.Journal
	DB        kv.Store // of the suppressions
	Resolver  dns.Resolver
	Router    Router
}

var _ API = (*House)(nil)

// translate gives a package's error its meaning here.
func translate(err error, what string) error {
	if err == nil {
		return nil
	}
	for _, t := range []struct{ from, to error }{
		{directory.ErrNotFound, ErrNotFound}, {directory.ErrNoUser, ErrNotFound},
		{directory.ErrNotLocal, ErrNotFound}, {journal.ErrNotFound, ErrNotFound},
		{directory.ErrExists, ErrExists},
		{directory.ErrInUse, ErrConflict}, {directory.ErrAliasLoop, ErrConflict},
		{directory.ErrInvalid, ErrInvalid},
	} {
		if !errors.Is(err, t.from) {
			continue
		}
		detail := strings.TrimPrefix(err.Error(), "directory: ")
		if plain := strings.TrimPrefix(t.from.Error(), "directory: "); detail == plain {
			return fmt.Errorf("%s: %w", what, t.to)
		}
		return fmt.Errorf("%s: %s%w", what, detail, quiet{t.to})
	}
	return err
}

// quiet adds a meaning to an error without adding words.
type quiet struct{ error }

func (q quiet) Error() string { return "" }
func (q quiet) Unwrap() error { return q.error }

func parseAddress(s string) (smtp.Address, error) {
	a, err := smtp.ParseAddress(s)
	if err != nil {
		return a, fmt.Errorf("%q: %v%w", s, err, quiet{ErrInvalid})
	}
	return a, nil
}

// AddDomain adds a domain with its keys.
func (h *House) AddDomain(ctx context.Context, name string) (Domain, error) {
	d, err := h.Directory.AddDomain(ctx, name)
	return Domain{Name: d.Name, Created: d.Created}, translate(err, name)
}

// Domains lists the domains.
func (h *House) Domains(ctx context.Context) ([]Domain, error) {
	all, err := h.Directory.Domains(ctx)
	list := make([]Domain, 0, len(all))
	for _, d := range all {
		list = append(list, Domain{Name: d.Name, Created: d.Created})
	}
	return list, err
}

// RemoveDomain removes a domain that is not in use.
func (h *House) RemoveDomain(ctx context.Context, name string) error {
	return translate(h.Directory.RemoveDomain(ctx, name), name)
}

// AddAccount adds an account.
func (h *House) AddAccount(ctx context.Context, address, password string) (NewAccount, error) {
	a, err := parseAddress(address)
	if err != nil {
		return NewAccount{}, err
	}
	made := password == ""
	if made {
		password = MakePassword()
	}
	account, err := h.Directory.AddAccount(ctx, a, password)
	if err != nil {
		return NewAccount{}, translate(err, address)
	}
	n := NewAccount{Address: account.Address.String()}
	if made {
		n.Password = password
	}
	return n, nil
}

// MakePassword makes a strong password: 26 characters, 130 random bits.
func MakePassword() string { return strings.ToLower(rand.Text()) }

// Accounts lists the accounts with what they hold.
func (h *House) Accounts(ctx context.Context) ([]Account, error) {
	all, err := h.Directory.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Account, 0, len(all))
	for _, a := range all {
		u, err := h.Mailboxes.Usage(ctx, a.ID)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Address, err)
		}
		list = append(list, Account{
			Address: a.Address.String(), Quota: a.Quota, Used: u.Bytes, Messages: u.Messages, Created: a.Created, OwnerSince: a.OwnerSince,
		})
	}
	return list, nil
}

// RemoveAccount removes an account with its mail.
func (h *House) RemoveAccount(ctx context.Context, address string) error {
	a, err := parseAddress(address)
	if err != nil {
		return err
	}
	account, err := h.Directory.RemoveAccount(ctx, a)
	if err != nil {
		return translate(err, address)
	}
	return h.Mailboxes.Remove(ctx, account.ID)
}

// SetPassword replaces a password.
func (h *House) SetPassword(ctx context.Context, address, password string) (NewAccount, error) {
	a, err := parseAddress(address)
	if err != nil {
		return NewAccount{}, err
	}
	n := NewAccount{Address: a.String()}
	if password == "" {
		password = MakePassword()
		n.Password = password
	}
	return n, translate(h.Directory.SetPassword(ctx, a, password), address)
}

// SetQuota sets a quota.
func (h *House) SetQuota(ctx context.Context, address string, bytes int64) error {
	a, err := parseAddress(address)
	if err != nil {
		return err
	}
	return translate(h.Directory.SetQuota(ctx, a, bytes), address)
}

// SetOwnerSince says since when an address has been its owner's.
func (h *House) SetOwnerSince(ctx context.Context, address string, since time.Time) error {
	a, err := parseAddress(address)
	if err != nil {
		return err
	}
	return translate(h.Directory.SetOwnerSince(ctx, a, since), address)
}

// parseAliasAddress also knows "@domain", the catch-all.
func parseAliasAddress(s string) (smtp.Address, error) {
	if domain, ok := strings.CutPrefix(s, "@"); ok && domain != "" {
		return smtp.Address{Domain: domain}, nil
	}
	return parseAddress(s)
}

// SetAlias adds or replaces an alias. Targets may be missing: they can come later.
func (h *House) SetAlias(ctx context.Context, a Alias) (Alias, error) {
	from, err := parseAliasAddress(a.Address)
	if err != nil {
		return Alias{}, err
	}
	alias := directory.Alias{Address: from}
	for _, t := range a.Targets {
		to, err := parseAddress(t)
		if err != nil {
			return Alias{}, err
		}
		alias.Targets = append(alias.Targets, to)
	}
	if err := h.Directory.SetAlias(ctx, alias); err != nil {
		return Alias{}, translate(err, a.Address)
	}
	return h.alias(ctx, alias), nil
}

// Aliases lists the aliases.
func (h *House) Aliases(ctx context.Context) ([]Alias, error) {
	all, err := h.Directory.Aliases(ctx)
	list := make([]Alias, 0, len(all))
	for _, a := range all {
		list = append(list, h.alias(ctx, a))
	}
	return list, err
}

// alias is an alias with what is missing of its targets.
func (h *House) alias(ctx context.Context, a directory.Alias) Alias {
	out := Alias{Address: a.Address.String()}
	if a.Address.Local == "" {
		out.Address = "@" + a.Address.Domain
	}
	for _, t := range a.Targets {
		out.Targets = append(out.Targets, t.String())
		if _, err := h.Directory.Resolve(ctx, t); errors.Is(err, directory.ErrNoUser) {
			out.Missing = append(out.Missing, t.String())
		}
	}
	return out
}

// RemoveAlias removes an alias.
func (h *House) RemoveAlias(ctx context.Context, address string) error {
	a, err := parseAliasAddress(address)
	if err != nil {
		return err
	}
	return translate(h.Directory.RemoveAlias(ctx, a), address)
}

// Trace finds stories by ID or Message-ID, the latest first.
func (h *House) Trace(ctx context.Context, what string) ([]Story, error) {
	messages := []id.ID{id.ID(what)}
	if !messages[0].Valid() {
		var err error
		if messages, err = h.findMessageID(ctx, what); err != nil {
			return nil, err
		}
	}
	var stories []Story
	for _, m := range messages {
		events, err := h.Journal.Story(ctx, m)
		if errors.Is(err, journal.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		stories = append(stories, Story{Message: string(m), Events: events})
	}
	if len(stories) == 0 {
		return nil, fmt.Errorf("%s: %w", what, ErrNotFound)
	}
	return stories, nil
}

// findMessageID looks for a Message-ID with or without its brackets.
func (h *House) findMessageID(ctx context.Context, what string) ([]id.ID, error) {
	bare := strings.Trim(what, "<>")
	found, err := h.Journal.Find(ctx, "<"+bare+">")
	if err == nil && len(found) == 0 {
		found, err = h.Journal.Find(ctx, bare)
	}
	return found, err
}
