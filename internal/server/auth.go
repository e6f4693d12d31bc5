package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"posthouse/internal/directory"
	"posthouse/internal/sasl"
)

// authenticator checks the credentials of one client at one door against the
// directory.
type authenticator struct {
	directory *directory.Directory
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
func (a authenticator) Scram(ctx context.Context, login string) (sasl.ScramSecret, error) {
	secret, err := a.directory.Scram(ctx, a.attempt(login))
	if err != nil {
		_, err = a.settle(directory.Account{}, err)
	}
	return sasl.ScramSecret(secret), err
}

// ScramDone is sasl.Authenticator.
func (a authenticator) ScramDone(ctx context.Context, login string, ok bool) (sasl.Identity, error) {
	account, err := a.directory.ScramDone(ctx, a.attempt(login), ok)
	if err == nil && !ok {
		err = directory.ErrBadLogin
	}
	return a.settle(account, err)
}
