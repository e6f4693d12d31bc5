package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"posthouse/internal/clock"
)

var now = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// issuer is a fake one on loopback.
type fakeIssuer struct {
	*oidctest.Server
	url   string
	key   *ecdsa.PrivateKey
	asked atomic.Int32 // for keys
	fails atomic.Bool
}

func newIssuer(t testing.TB) *fakeIssuer {
	t.Helper()
	f := &fakeIssuer{key: newKey(t)}
	f.Server = &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: f.key.Public(), KeyID: "one", Algorithm: "ES256"}}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
			f.asked.Add(1)
		}
		if f.fails.Load() {
			http.Error(w, "tired", http.StatusServiceUnavailable)
			return
		}
		f.Server.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	f.url = web.URL
	f.SetIssuer(web.URL)
	return f
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// claims of a good token, with changes; nil takes one out.
func (f *fakeIssuer) claims(change map[string]any) string {
	c := map[string]any{"iss": f.url, "aud": []string{"posthouse", "other"}, "exp": now.Add(time.Minute).Unix(), "sub": "17", "email": "alice@example.test"}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	b, _ := json.Marshal(c)
	return string(b)
}

func (f *fakeIssuer) token(change map[string]any) string {
	return oidctest.SignIDToken(f.key, "one", "ES256", f.claims(change))
}

func (f *fakeIssuer) verifier(change ...func(*Options)) (*Verifier, *clock.Fake) {
	clk := clock.NewFake(now)
	opt := Options{Issuer: f.url, Audience: "posthouse", Clock: clk}
	for _, fn := range change {
		fn(&opt)
	}
	v := New(opt)
	v.client.Timeout = time.Hour // however slow the machine
	return v, clk
}

func TestTokens(t *testing.T) {
	f := newIssuer(t)
	v, _ := f.verifier()
	good := f.token(nil)
	enc := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"good":             {good, true},
		"verified":         {f.token(map[string]any{"email_verified": true}), true},
		"verified, text":   {f.token(map[string]any{"email_verified": "true"}), true},
		"one audience":     {f.token(map[string]any{"aud": "posthouse"}), true},
		"unverified":       {f.token(map[string]any{"email_verified": false}), false},
		"unverified, text": {f.token(map[string]any{"email_verified": "false"}), false},
		"odd verification": {f.token(map[string]any{"email_verified": 1}), false},
		"expired":          {f.token(map[string]any{"exp": now.Add(-time.Second).Unix()}), false},
		"never expires":    {f.token(map[string]any{"exp": nil}), false},
		"not yet":          {f.token(map[string]any{"nbf": now.Add(time.Hour).Unix()}), false},
		"for others":       {f.token(map[string]any{"aud": "other"}), false},
		"for nobody":       {f.token(map[string]any{"aud": nil}), false},
		"of another":       {f.token(map[string]any{"iss": "https://evil.example"}), false},
		"no address":       {f.token(map[string]any{"email": nil}), false},
		"odd address":      {f.token(map[string]any{"email": []string{"alice@example.test"}}), false},
		"wrong key":        {oidctest.SignIDToken(newKey(t), "one", "ES256", f.claims(nil)), false},
		"unknown key":      {oidctest.SignIDToken(newKey(t), "two", "ES256", f.claims(nil)), false},
		"public as secret": {oidctest.SignIDToken(f.secret(t), "one", "HS256", f.claims(nil)), false},
		"unsigned":         {enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", false},
		"changed":          {parts[0] + "." + enc([]byte(f.claims(map[string]any{"email": "bob@example.test"}))) + "." + parts[2], false},
		"empty":            {"", false},
		"opaque":           {"ya29.a0AfH6SMBx", false},
		"dots":             {"..", false},
	} {
		address, err := v.Address(t.Context(), c.token)
		switch {
		case c.ok && (err != nil || address != "alice@example.test"):
			t.Errorf("%s: %q, %v", name, address, err)
		case !c.ok && (!errors.Is(err, ErrToken) || address != ""):
			t.Errorf("%s: %q, %v, want ErrToken", name, address, err)
		}
	}
	if n := f.asked.Load(); n > 1 {
		t.Errorf("asked for keys %d times", n)
	}
}

// secret is the public key taken for a secret that both sides have.
func (f *fakeIssuer) secret(t *testing.T) crypto.PrivateKey {
	t.Helper()
	b, err := f.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOtherClaim(t *testing.T) {
	f := newIssuer(t)
	v, _ := f.verifier(func(o *Options) { o.Claim = "preferred_username" })
	token := f.token(map[string]any{"preferred_username": "bob@example.test", "email_verified": false})
	if address, err := v.Address(t.Context(), token); err != nil || address != "bob@example.test" {
		t.Errorf("%q, %v", address, err)
	}
	if want := f.url + "/.well-known/openid-configuration"; v.Configuration() != want {
		t.Errorf("%s, want %s", v.Configuration(), want)
	}
}

func TestKeysRotate(t *testing.T) {
	f := newIssuer(t)
	v, clk := f.verifier()
	if _, err := v.Address(t.Context(), f.token(nil)); err != nil {
		t.Fatal(err)
	}
	next := newKey(t)
	f.PublicKeys = []oidctest.PublicKey{{PublicKey: next.Public(), KeyID: "two", Algorithm: "ES256"}}
	token := oidctest.SignIDToken(next, "two", "ES256", f.claims(map[string]any{"exp": now.Add(24 * time.Hour).Unix()}))
	for range 3 { // not at each token: strangers could make us ask without end
		if _, err := v.Address(t.Context(), token); !errors.Is(err, ErrToken) {
			t.Fatalf("a key that we have not asked for: %v", err)
		}
	}
	clk.Advance(askAgain)
	if _, err := v.Address(t.Context(), token); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if n := f.asked.Load(); n != 2 {
		t.Errorf("asked for keys %d times, want 2", n)
	}
}

func TestWithdrawnKeys(t *testing.T) {
	f := newIssuer(t)
	v, clk := f.verifier()
	token := f.token(map[string]any{"exp": now.Add(48 * time.Hour).Unix()})
	if _, err := v.Address(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	f.fails.Store(true)
	clk.Advance(maxAge)
	if _, err := v.Address(t.Context(), token); err != nil {
		t.Errorf("while the issuer is away: %v", err)
	}
	f.fails.Store(false)
	f.PublicKeys = nil
	clk.Advance(askAgain)
	if _, err := v.Address(t.Context(), token); !errors.Is(err, ErrToken) {
		t.Errorf("a withdrawn key: %v", err)
	}
}

// That the issuer is away is our trouble, not the token's.
func TestIssuerAway(t *testing.T) {
	f := newIssuer(t)
	v, clk := f.verifier()
	f.fails.Store(true)
	if _, err := v.Address(t.Context(), f.token(nil)); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("no configuration: %v", err)
	}
	f.fails.Store(false)
	clk.Advance(askAgain)
	late := f.token(map[string]any{"exp": now.Add(time.Hour).Unix()})
	if _, err := v.keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.fails.Store(true)
	if _, err := v.Address(t.Context(), late); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("no keys: %v", err)
	}
	f.fails.Store(false)
	clk.Advance(askAgain)
	if _, err := v.Address(t.Context(), late); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	clk.Advance(maxAge)
	if _, err := New(Options{Issuer: f.url, Audience: "posthouse"}).Address(gone, late); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("a login that is over: %v", err)
	}
}

// answers is an issuer whose every answer is the same.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBadIssuers(t *testing.T) {
	for name, body := range map[string]string{
		"another":        `{"issuer":"https://evil.example","jwks_uri":"https://issuer.example/keys"}`,
		"no keys":        `{"issuer":"https://issuer.example"}`,
		"keys in clear":  `{"issuer":"https://issuer.example","jwks_uri":"http://issuer.example/keys"}`,
		"not JSON":       `<html>`,
		"endless answer": strings.Repeat(" ", maxAnswer+1),
	} {
		v := New(Options{Issuer: "https://issuer.example", Audience: "posthouse", Transport: answers(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})})
		token := oidctest.SignIDToken(newKey(t), "one", "ES256", "{}")
		if _, err := v.Address(t.Context(), token); err == nil || errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
