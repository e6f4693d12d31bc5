package sasl

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
)

func TestExternal(t *testing.T) {
	tls13, _ := handshake(t, tls.VersionTLS13)
	state := &tls13
	names := []string{"old@example.test", alice}
	policy := Policy{Names: func(*tls.ConnectionState) []string { return names }}
	for name, c := range map[string]struct {
		initial []byte
		later   []string
		want    error
	}{
		"asked":                  {nil, []string{""}, nil},
		"empty initial":          {[]byte{}, nil, nil},
		"own address":            {[]byte(strings.ToUpper(alice)), nil, nil},
		"one without account":    {[]byte("old@example.test"), nil, ErrCredentials},
		"not in certificate":     {[]byte("bob@example.test"), nil, ErrAuthzid},
		"NUL":                    {[]byte(alice + "\x00"), nil, ErrProtocol},
		"not UTF-8":              {[]byte("\xff"), nil, ErrProtocol},
		"asked, somebody else's": {nil, []string{"bob@example.test"}, ErrAuthzid},
	} {
		s, err := policy.Begin(t.Context(), External, &house{}, state)
		if err != nil {
			t.Fatal(err)
		}
		who, err := Run(s, c.initial, answers(c.later...))
		if !errors.Is(err, c.want) || c.want == nil && who.Account != 7 {
			t.Errorf("%s: %+v, %v, want %v", name, who, err, c.want)
		}
		if _, _, err := s.Next([]byte(alice)); err == nil {
			t.Errorf("%s: the exchange goes on after its end", name)
		}
	}
	if _, err := policy.Begin(t.Context(), External, &house{}, nil); !errors.Is(err, ErrMechanism) {
		t.Errorf("without TLS: %v", err)
	}
	names = nil
	if _, err := policy.Begin(t.Context(), External, &house{}, state); !errors.Is(err, ErrMechanism) {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestBearer(t *testing.T) {
	const good = "auth=Bearer good+token==\x01\x01"
	oauth := `{"status":"invalid_token","openid-configuration":"https://issuer.example/.well-known/openid-configuration"}`
	google := `{"status":"401","schemes":"bearer"}`
	for _, c := range []struct {
		mech, message string
		challenge     string // before the end
		want          error
	}{
		{OAuthBearer, "n,,\x01" + good, "", nil},
		{OAuthBearer, "y,,\x01" + good, "", nil},
		{OAuthBearer, "n,a=" + alice + ",\x01host=mx.example.test\x01port=143\x01" + good, "", nil},
		{OAuthBearer, "n,,\x01auth=bEARER  good+token==\x01new=thing\x01\x01", "", nil},
		{OAuthBearer, "n,a=bob@example.test,\x01" + good, oauth, ErrAuthzid},
		{OAuthBearer, "n,,\x01auth=Bearer bad\x01\x01", oauth, ErrCredentials},
		{OAuthBearer, "n,,\x01auth=\x01\x01", oauth, ErrCredentials},
		{OAuthBearer, "p=tls-exporter,,\x01" + good, "", ErrProtocol},
		{OAuthBearer, "n,,\x01auth=Basic xyz\x01\x01", "", ErrProtocol},
		{OAuthBearer, "n,,\x01host=a\x01\x01", "", ErrProtocol},
		{OAuthBearer, "n,,\x01auth=Bearer x\x01auth=Bearer good+token==\x01\x01", "", ErrProtocol},
		{OAuthBearer, "n,,\x01auth=Bearer good+token==\x01", "", ErrProtocol},
		{OAuthBearer, "n,,\x01bare\x01" + good, "", ErrProtocol},
		{OAuthBearer, "n,a=x=2,\x01" + good, "", ErrProtocol},
		{OAuthBearer, "n,b=x,\x01" + good, "", ErrProtocol},
		{OAuthBearer, "n,,", "", ErrProtocol},
		{OAuthBearer, "\x01", "", ErrProtocol},
		{OAuthBearer, "", "", ErrProtocol},
		{OAuthBearer, "n,,\x01auth=Bearer \xff\x01\x01", "", ErrProtocol},
		{XOAuth2, "user=" + alice + "\x01" + good, "", nil},
		{XOAuth2, "user=" + alice + "\x01auth=Bearer bad\x01\x01", google, ErrCredentials},
		{XOAuth2, "user=bob@example.test\x01" + good, google, ErrAuthzid},
		{XOAuth2, "user=\x01" + good, "", ErrProtocol},
		{XOAuth2, "n,,\x01" + good, "", ErrProtocol},
	} {
		s, err := begin(c.mech, &house{})
		if err != nil {
			t.Fatal(err)
		}
		var seen string
		who, err := Run(s, []byte(c.message), func(challenge []byte) ([]byte, error) {
			seen += string(challenge)
			return []byte{1}, nil
		})
		if !errors.Is(err, c.want) || seen != c.challenge || c.want == nil && who.Account != 7 {
			t.Errorf("%s %q: %+v, %v, want %v; challenge %q", c.mech, c.message, who, err, c.want, seen)
		}
		if _, _, err := s.Next([]byte("n,,\x01" + good)); err == nil {
			t.Errorf("%s %q: the exchange goes on after its end", c.mech, c.message)
		}
		// The same without an initial response.
		s, _ = begin(c.mech, &house{})
		if _, err := Run(s, nil, answers(c.message, "")); !errors.Is(err, c.want) {
			t.Errorf("%s asked, %q: %v, want %v", c.mech, c.message, err, c.want)
		}
	}
	if name, err := saslName("a=2Cb=3Dc=3D2C"); err != nil || name != "a,b=c=2C" {
		t.Errorf("%q, %v", name, err)
	}
	for _, mech := range []string{OAuthBearer, XOAuth2} {
		if _, err := new(Policy).Begin(t.Context(), mech, &house{}, nil); !errors.Is(err, ErrMechanism) {
			t.Errorf("%s without an issuer: %v", mech, err)
		}
	}
}
