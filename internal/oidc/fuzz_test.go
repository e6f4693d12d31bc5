package oidc

import (
	"errors"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// FuzzToken shows tokens that nobody signed. None is accepted, and none is a fault
// of ours or the issuer's, which would be tried again.
func FuzzToken(f *testing.F) {
	issuer := newIssuer(f)
	v, _ := issuer.verifier()
	good := issuer.token(nil)
	if _, err := v.Address(f.Context(), good); err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for _, s := range []string{
		"", ".", "..", "a.b.c", parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + ".", strings.Repeat(".", 100),
		oidctest.SignIDToken(newKey(f), "one", "ES256", issuer.claims(nil)), `{"payload":"e30","signatures":[{}]}`, "e30.e30.e30",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		who, err := v.Address(t.Context(), token)
		if !errors.Is(err, ErrToken) || who != "" {
			t.Errorf("%q vouches for %q, %v", token, who, err)
		}
	})
}

// FuzzClaims shows tokens that the issuer signed, whatever they say.
func FuzzClaims(f *testing.F) {
	issuer := newIssuer(f)
	v, _ := issuer.verifier()
	for _, change := range []map[string]any{
		nil, {"email": 5}, {"email": []string{"a@b"}}, {"email_verified": "true"}, {"email_verified": false}, {"email_verified": []int{1}},
		{"exp": "never"}, {"exp": -1e300}, {"exp": 1e300}, {"aud": nil}, {"aud": map[string]any{}}, {"nbf": 1e18}, {"_claim_names": map[string]any{"a": "b"}},
	} {
		f.Add(issuer.claims(change))
	}
	f.Fuzz(func(t *testing.T, claims string) {
		token := oidctest.SignIDToken(issuer.key, "one", "ES256", claims)
		switch who, err := v.Address(t.Context(), token); {
		case err == nil && (who == "" || !strings.Contains(claims, "posthouse") && !strings.Contains(claims, `\`)):
			t.Errorf("%q vouches for %q", claims, who)
		case err != nil && !errors.Is(err, ErrToken):
			t.Errorf("%q: %v", claims, err)
		}
	})
}
