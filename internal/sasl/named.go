package sasl

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"strings"
)

// Named passes everything on to an Authenticator and remembers who was tried, for
// the log of the door. For one exchange at a time.
type Named struct {
	Authenticator
	// Login is what the client called itself, at most 255 bytes of it; "" before it
	// has.
	Login string
}

// LogFailure writes into a session's log that a login failed, by a mechanism that
// the door has: an error where it is ours.
func (n *Named) LogFailure(log *slog.Logger, mechanism string, err error) {
	level := slog.LevelError
	for _, theirs := range []error{ErrCredentials, ErrThrottled, ErrAuthzid, ErrProtocol, ErrCancelled, ErrBase64} {
		if errors.Is(err, theirs) {
			level = slog.LevelInfo
		}
	}
	log.Log(context.Background(), level, "login failed", "login", n.Login, "mechanism", mechanism, "err", err)
}

// maxNamed is as long as an address can be (RFC 5321 section 4.5.3.1), in bytes.
const maxNamed = 255

func (n *Named) name(login string) {
	if len(login) > maxNamed {
		login = login[:maxNamed]
	}
	n.Login = strings.ToValidUTF8(login, "?")
}

// Authenticate is Authenticator.
func (n *Named) Authenticate(ctx context.Context, login, password string) (Identity, error) {
	n.name(login)
	return n.Authenticator.Authenticate(ctx, login, password)
}

// Scram is Authenticator.
func (n *Named) Scram(ctx context.Context, login string, hash crypto.Hash) (ScramSecret, error) {
	n.name(login)
	return n.Authenticator.Scram(ctx, login, hash)
}

// External is Authenticator.
func (n *Named) External(ctx context.Context, addresses []string) (Identity, error) {
	n.name(strings.Join(addresses, " "))
	return n.Authenticator.External(ctx, addresses)
}

// Bearer is Authenticator.
func (n *Named) Bearer(ctx context.Context, login, token string) (Identity, error) {
	n.name(login)
	return n.Authenticator.Bearer(ctx, login, token)
}
