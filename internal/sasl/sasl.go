// Package sasl is the server side of SASL (RFC 4422) for the doors: PLAIN, LOGIN,
// SCRAM with and without channel binding, EXTERNAL by client certificate, and the
// bearer tokens of OAUTHBEARER and XOAUTH2. It knows the exchanges; who may log in
// is the Authenticator's to say.
package sasl

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"posthouse/internal/id"
)

// Names of the mechanisms.
const (
	Plain           = "PLAIN"              // RFC 4616
	Login           = "LOGIN"              // draft-murchison-sasl-login
	ScramSHA1       = "SCRAM-SHA-1"        // RFC 5802
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"   // with channel binding
	ScramSHA256     = "SCRAM-SHA-256"      // RFC 5802, RFC 7677
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS" // with channel binding
	External        = "EXTERNAL"           // RFC 4422 appendix A
	OAuthBearer     = "OAUTHBEARER"        // RFC 7628
	XOAuth2         = "XOAUTH2"            // what Google and Microsoft had before it
)

// MaxLine is the longest base64 line of an exchange, in octets (RFC 4954
// section 4).
const MaxLine = 12288

// Errors of an exchange. Authenticators return ErrCredentials and ErrThrottled;
// any other error of theirs is passed on as an internal fault.
var (
	ErrMechanism   = errors.New("sasl: no such mechanism")
	ErrCredentials = errors.New("sasl: wrong user name or password")
	ErrThrottled   = errors.New("sasl: too many failed logins")
	ErrAuthzid     = errors.New("sasl: may not act for another identity")
	ErrProtocol    = errors.New("sasl: malformed response") // wrapped with the reason
	ErrCancelled   = errors.New("sasl: cancelled by the client")
	ErrBase64      = errors.New("sasl: not base64")
)

// Identity is who has logged in.
type Identity struct {
	Account id.Account
	Login   string // the account's address
}

// ScramSecret is what a server keeps of a password for SCRAM (RFC 5802 section 3).
type ScramSecret struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Authenticator checks credentials for one client at one door. Its errors wrap
// ErrCredentials or ErrThrottled, or are internal faults.
type Authenticator interface {
	// Authenticate checks a password.
	Authenticate(ctx context.Context, login, password string) (Identity, error)
	// Scram gives the secret for login, a made-up one for an unknown login. The
	// hash is crypto.SHA1 or crypto.SHA256.
	Scram(ctx context.Context, login string, hash crypto.Hash) (ScramSecret, error)
	// ScramDone is told the outcome of each exchange that Scram began and the
	// client finished; for ok it gives the identity, otherwise an error.
	ScramDone(ctx context.Context, login string, ok bool) (Identity, error)
	// External finds the account of one of the addresses that a verified client
	// certificate names.
	External(ctx context.Context, addresses []string) (Identity, error)
	// Bearer checks a token; login is whom the client says it is, perhaps "".
	Bearer(ctx context.Context, login, token string) (Identity, error)
}

// Server is one exchange.
type Server interface {
	// Next takes the client's response and gives the next challenge. The first
	// call gets the initial response, nil when there is none (an empty one is not
	// nil). After done or an error the exchange is over.
	Next(response []byte) (challenge []byte, done bool, err error)
	// Identity is who has logged in, once Next was done.
	Identity() Identity
}

// Run carries an exchange to its end. ask sends a challenge to the client and
// returns its decoded response, or an error that ends the exchange.
func Run(s Server, initial []byte, ask func(challenge []byte) (response []byte, err error)) (Identity, error) {
	response := initial
	for {
		challenge, done, err := s.Next(response)
		if err != nil {
			return Identity{}, err
		}
		if done {
			return s.Identity(), nil
		}
		if response, err = ask(challenge); err != nil {
			return Identity{}, err
		}
		if response == nil {
			response = []byte{}
		}
	}
}

// Encode is a challenge as it goes over the line.
func Encode(challenge []byte) string { return base64.StdEncoding.EncodeToString(challenge) }

// Decode reads a response line: ErrCancelled for "*", ErrBase64, ErrProtocol when
// it is longer than MaxLine. The result is never nil without an error.
func Decode(line []byte) ([]byte, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("%w: too long", ErrProtocol)
	}
	if len(line) == 1 && line[0] == '*' {
		return nil, ErrCancelled
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	// The package skips line ends; in here they would be smuggled.
	for _, c := range line {
		if c == '\r' || c == '\n' {
			return nil, ErrBase64
		}
	}
	n, err := base64.StdEncoding.Decode(out, line)
	if err != nil {
		return nil, ErrBase64
	}
	return out[:n], nil
}

// DecodeInitial reads an initial response, where "=" is an empty one (RFC 4954
// section 4, RFC 4959 section 3, RFC 5034 section 4).
func DecodeInitial(word string) ([]byte, error) {
	if word == "=" {
		return []byte{}, nil
	}
	return Decode([]byte(word))
}

// sameIdentity judges the authorization identity: none, or one's own.
func sameIdentity(authzid, login string, who Identity) error {
	if authzid == "" || strings.EqualFold(authzid, login) || strings.EqualFold(authzid, who.Login) {
		return nil
	}
	return ErrAuthzid
}
