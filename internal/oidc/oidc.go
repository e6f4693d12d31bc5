// Package oidc tells whose mail address a bearer token vouches for. Tokens are
// JWTs of one issuer (OpenID Connect Discovery 1.0); they are judged here, by
// signature, issuer, audience and time. The issuer is asked for its configuration
// and keys only when the first token comes, and then seldom.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"posthouse/internal/clock"
)

// ErrToken means that a token vouches for nobody. Other errors are faults: the
// issuer cannot be asked, and nobody can tell whether the token is good.
var ErrToken = errors.New("oidc: token not accepted") // wrapped with the reason

// Options of a Verifier.
type Options struct {
	Issuer   string // URL, as its tokens name it
	Audience string // whom tokens must be for: a client id or a resource
	Claim    string // that holds the address; default "email"

	Transport http.RoundTripper // to the issuer; default: the system's roots, proxies of the environment
	Clock     clock.Clock       // default: the system's
	Log       *slog.Logger      // default: nothing is logged
}

// Verifier is safe for concurrent use.
type Verifier struct {
	opt    Options
	client *http.Client
	turn   chan struct{} // who holds it may look at and change known
	known  *issuer
}

// issuer is what discovery found.
type issuer struct {
	keys oidc.KeySet
	at   time.Time
}

// Times. A key that the issuer has withdrawn is trusted for as long as maxAge
// at most, and for staleAge when the issuer cannot be reached.
const (
	askTimeout = 10 * time.Second
	maxAge     = time.Hour
	staleAge   = 24 * time.Hour
)

// algorithms are all with which an issuer signs so that we need no secret.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// New makes a Verifier. It asks nobody yet.
func New(opt Options) *Verifier {
	if opt.Claim == "" {
		opt.Claim = "email"
	}
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Transport == nil {
		opt.Transport = http.DefaultTransport
	}
	v := &Verifier{opt: opt, turn: make(chan struct{}, 1)}
	v.client = &http.Client{Timeout: askTimeout, Transport: newBounded(opt.Transport, opt.Clock)}
	return v
}

// Configuration is the URL at which clients find out where tokens are had.
func (v *Verifier) Configuration() string {
	return strings.TrimSuffix(v.opt.Issuer, "/") + "/.well-known/openid-configuration"
}

// Address is the mail address that a token vouches for; ErrToken when it vouches
// for none.
func (v *Verifier) Address(ctx context.Context, token string) (string, error) {
	if token == "" {
		return "", fmt.Errorf("%w: empty", ErrToken)
	}
	keys, err := v.keys(ctx)
	if err != nil {
		return "", fmt.Errorf("oidc: ask %s: %w", v.opt.Issuer, err)
	}
	noting := &notingKeys{keys: keys}
	verifier := oidc.NewVerifier(v.opt.Issuer, noting, &oidc.Config{
		ClientID: v.opt.Audience, SupportedSigningAlgs: algorithms, Now: v.opt.Clock.Now,
	})
	good, err := verifier.Verify(ctx, token)
	switch {
	case noting.fault != nil:
		return "", fmt.Errorf("oidc: ask %s for its keys: %w", v.opt.Issuer, noting.fault)
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	return v.address(good)
}

// address reads the claim. An address that the issuer knows to be unverified is
// anybody's (OpenID Connect Core 1.0 section 5.7).
func (v *Verifier) address(token *oidc.IDToken) (string, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	address, ok := claims[v.opt.Claim].(string)
	if !ok || address == "" {
		return "", fmt.Errorf("%w: no claim %q", ErrToken, v.opt.Claim)
	}
	if v.opt.Claim != "email" {
		return address, nil
	}
	switch verified := claims["email_verified"].(type) {
	case nil:
	case bool:
		ok = verified
	case string: // some issuers write it so
		ok = verified == "true"
	default:
		ok = false
	}
	if !ok {
		return "", fmt.Errorf("%w: the issuer has not verified the address", ErrToken)
	}
	return address, nil
}

// keys are the issuer's, found by discovery, which is made again when the last
// one is old.
func (v *Verifier) keys(ctx context.Context) (oidc.KeySet, error) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := v.opt.Clock.Now()
	if v.known != nil && now.Sub(v.known.at) < maxAge {
		return v.known.keys, nil
	}
	found, err := v.discover(ctx)
	switch {
	case err == nil:
		v.known = &issuer{found, now}
	case v.known == nil || now.Sub(v.known.at) >= staleAge:
		return nil, err
	default:
		v.opt.Log.Warn("the issuer of tokens does not answer: going on with the keys we have", "issuer", v.opt.Issuer, "err", err)
	}
	return v.known.keys, nil
}

func (v *Verifier) discover(ctx context.Context) (oidc.KeySet, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, v.client), v.opt.Issuer)
	if err != nil {
		return nil, err
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, err
	}
	if found.Keys == "" {
		return nil, errors.New("its configuration names no keys")
	}
	return newRemoteKeys(v.client, found.Keys), nil
}

// remoteKeys are the keys at a URL. They outlive the login that asks for them.
//
// Who does not find a key in the library's set asks for new ones, or joins one who
// does, even if that one has had its answer and is only about to go: an old
// answer. So who is refused asks once more, with a set of his own. It is the
// bounded client that keeps us from asking too often.
type remoteKeys struct {
	client *http.Client
	url    string
	set    atomic.Pointer[oidc.RemoteKeySet]
}

func newRemoteKeys(client *http.Client, url string) *remoteKeys {
	k := &remoteKeys{client: client, url: url}
	k.set.Store(k.fresh())
	return k
}

func (k *remoteKeys) fresh() *oidc.RemoteKeySet {
	return oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), k.client), k.url)
}

// VerifySignature is oidc.KeySet.
func (k *remoteKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.set.Load().VerifySignature(ctx, token)
	if err == nil || ctx.Err() != nil {
		return payload, err
	}
	own := k.fresh()
	if payload, err = own.VerifySignature(ctx, token); err == nil {
		k.set.Store(own)
	}
	return payload, err
}

// notingKeys tells a wrong signature from keys that could not be had.
type notingKeys struct {
	keys  oidc.KeySet
	fault error
}

func (k *notingKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.keys.VerifySignature(ctx, token)
	var unanswered *unansweredError
	if errors.As(err, &unanswered) || ctx.Err() != nil && err != nil {
		k.fault = err
	}
	return payload, err
}
