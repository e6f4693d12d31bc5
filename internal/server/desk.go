package server

import (
	"context"
	"errors"

	"posthouse/internal/directory"
	"posthouse/internal/intake"
	"posthouse/internal/queue"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/smtpd"
	"posthouse/internal/status"
)

// desk answers what SMTP clients ask beside bringing mail.
type desk struct {
	directory *directory.Directory
	queue     *queue.Queue
}

var _ smtpd.Desk = desk{}

// Identify is smtpd.Desk.
func (d desk) Identify(ctx context.Context, login string) (sasl.Identity, error) {
	noSuch := status.New(501, 5, 4, "No such login")
	addr, err := smtp.ParseAddress(login)
	if err != nil {
		return sasl.Identity{}, noSuch
	}
	account, err := d.directory.Account(ctx, addr)
	if errors.Is(err, directory.ErrNotFound) {
		return sasl.Identity{}, noSuch
	}
	return sasl.Identity{Account: account.ID, Login: account.Address.String()}, err
}

// Verify is smtpd.Desk.
func (d desk) Verify(ctx context.Context, who sasl.Identity, a smtp.Address) (smtpd.Verified, error) {
	a, targets, err := d.resolve(ctx, who, a)
	switch {
	case errors.Is(err, directory.ErrNotLocal):
		return smtpd.Verified{}, nil
	case err != nil:
		return smtpd.Verified{}, intake.RouteError(err)
	}
	first := targets[0]
	switch {
	case len(targets) == 1 && first.Account.ID == 0:
		return smtpd.Verified{Address: first.Address, Elsewhere: true}, nil
	case len(targets) == 1 && first.Via.IsZero():
		return smtpd.Verified{Address: first.Account.Address}, nil
	}
	return smtpd.Verified{Address: a}, nil // an alias
}

// Expand is smtpd.Desk.
func (d desk) Expand(ctx context.Context, who sasl.Identity, a smtp.Address) ([]smtp.Address, error) {
	_, targets, err := d.resolve(ctx, who, a)
	if err != nil {
		return nil, intake.RouteError(err)
	}
	list := make([]smtp.Address, len(targets))
	for i, t := range targets {
		if list[i] = t.Address; t.Account.ID != 0 {
			list[i] = t.Account.Address
		}
	}
	return list, nil
}

// resolve finds where mail for a goes; a name without a domain is one of who's
// own domain.
func (d desk) resolve(ctx context.Context, who sasl.Identity, a smtp.Address) (smtp.Address, []directory.Target, error) {
	if a.Domain == "" {
		own, err := smtp.ParseAddress(who.Login)
		if err != nil {
			return a, nil, err
		}
		a.Domain = own.Domain
	}
	targets, err := d.directory.Resolve(ctx, a)
	return a, targets, err
}

// StartQueue is smtpd.Desk.
func (d desk) StartQueue(ctx context.Context, domain string, below bool) (int, error) {
	return d.queue.Retry(ctx, queue.Selector{Domain: domain, Below: below})
}
