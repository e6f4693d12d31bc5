package server

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/netip"

	"posthouse/internal/directory"
	"posthouse/internal/oidc"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// authenticator checks the credentials of one client at one door against the
// directory.
type authenticator struct {
	directory *directory.Directory
	tokens    *oidc.Verifier // nil: none are taken
	metrics   *metrics
	remote    netip.Addr
	door      string
}

var _ sasl.Authenticator = authenticator{}

func (a authenticator) attempt(login string) directory.Attempt {
	return directory.Attempt{Login: login, Remote: a.remote, Door: a.door}
}

// settle counts an attempt and gives its outcome the door's words.
func (a authenticator) settle(account directory.Account, err error) (sasl.Identity, error) {
	result := "ok"
	switch {
	case errors.Is(err, directory.ErrThrottled):
		result, err = "throttled", fmt.Errorf("%w: %w", sasl.ErrThrottled, err)
	case errors.Is(err, directory.ErrBadLogin):
		result, err = "wrong", fmt.Errorf("%w: %w", sasl.ErrCredentials, err)
	case err != nil:
		result = "error"
	}
	a.metrics.logins.WithLabelValues(a.door, result).Inc()
	if err != nil {
		return sasl.Identity{}, err
	}
	return sasl.Identity{Account: account.ID, Login: account.Address.String()}, nil
}

// Authenticate is sasl.Authenticator.
func (a authenticator) Authenticate(ctx context.Context, login, password string) (sasl.Identity, error) {
	return a.settle(a.directory.Authenticate(ctx, a.attempt(login), password))
}

// Scram is sasl.Authenticator.
func (a authenticator) Scram(ctx context.Context, login string, hash crypto.Hash) (sasl.ScramSecret, error) {
	secret, err := a.directory.Scram(ctx, a.attempt(login), hash)
	if err != nil {
		_, err = a.settle(directory.Account{}, err)
	}
	return sasl.ScramSecret(secret), err
}

// ScramDone is sasl.Authenticator.
func (a authenticator) ScramDone(ctx context.Context, login string, ok bool) (sasl.Identity, error) {
	return a.settle(a.directory.Finish(ctx, a.attempt(login), ok))
}

// External is sasl.Authenticator.
func (a authenticator) External(ctx context.Context, addresses []string) (sasl.Identity, error) {
	login := addresses[0]
	for _, address := range addresses {
		if a.isAccount(ctx, address) {
			login = address
			break
		}
	}
	if err := a.directory.Begin(ctx, a.attempt(login)); err != nil {
		return a.settle(directory.Account{}, err)
	}
	return a.settle(a.directory.Finish(ctx, a.attempt(login), true))
}

func (a authenticator) isAccount(ctx context.Context, address string) bool {
	addr, err := smtp.ParseAddress(address)
	if err == nil {
		_, err = a.directory.Account(ctx, addr)
	}
	return err == nil
}

// Bearer is sasl.Authenticator.
func (a authenticator) Bearer(ctx context.Context, login, token string) (sasl.Identity, error) {
	if err := a.directory.Begin(ctx, a.attempt(login)); err != nil {
		return a.settle(directory.Account{}, err)
	}
	address, err := a.tokens.Address(ctx, token)
	switch {
	case errors.Is(err, oidc.ErrToken):
		_, failure := a.directory.Finish(ctx, a.attempt(login), false)
		return a.settle(directory.Account{}, fmt.Errorf("%w: %w", failure, err))
	case err != nil:
		return a.settle(directory.Account{}, status.Wrap(err, 454, 7, 0, "Cannot check tokens now, try again later"))
	}
	return a.settle(a.directory.Finish(ctx, a.attempt(address), true))
}
