package sasl

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// house is an Authenticator with one account.
type house struct {
	throttled bool
	done      []bool // outcomes that ScramDone was told
}

const (
	alice  = "alice@example.test"
	secret = "posthouse"
)

func (h *house) Authenticate(_ context.Context, login, password string) (Identity, error) {
	switch {
	case h.throttled:
		return Identity{}, ErrThrottled
	case strings.EqualFold(login, alice) && password == secret:
		return Identity{Account: 7, Login: alice}, nil
	}
	return Identity{}, ErrCredentials
}

func (h *house) Scram(_ context.Context, login string, hash crypto.Hash) (ScramSecret, error) {
	if h.throttled {
		return ScramSecret{}, ErrThrottled
	}
	password := secret
	if !strings.EqualFold(login, alice) {
		password = "made up"
	}
	client, err := generator(hash).NewClient(login, password, "")
	if err != nil {
		return ScramSecret{}, err
	}
	kept, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of the earth", Iters: 4096})
	if err != nil {
		return ScramSecret{}, err
	}
	return ScramSecret{Salt: []byte(kept.Salt), Iterations: kept.Iters, StoredKey: kept.StoredKey, ServerKey: kept.ServerKey}, nil
}

func (h *house) ScramDone(_ context.Context, login string, ok bool) (Identity, error) {
	h.done = append(h.done, ok)
	if !ok {
		return Identity{}, ErrCredentials
	}
	return Identity{Account: 7, Login: alice}, nil
}

func (h *house) External(_ context.Context, addresses []string) (Identity, error) {
	if slices.ContainsFunc(addresses, func(a string) bool { return strings.EqualFold(a, alice) }) {
		return Identity{Account: 7, Login: alice}, nil
	}
	return Identity{}, ErrCredentials
}

func (h *house) Bearer(_ context.Context, login, token string) (Identity, error) {
	switch {
	case h.throttled:
		return Identity{}, ErrThrottled
	case token == "good+token==":
		return Identity{Account: 7, Login: alice}, nil
	}
	return Identity{}, ErrCredentials
}

func generator(hash crypto.Hash) scram.HashGeneratorFcn {
	if hash == crypto.SHA1 {
		return scram.SHA1
	}
	return scram.SHA256
}

// begin begins an exchange at a door without TLS.
func begin(mech string, h *house) (Server, error) {
	p := Policy{OpenID: "https://issuer.example/.well-known/openid-configuration"}
	return p.Begin(context.Background(), mech, h, nil)
}

// answers plays a client that says these things in turn.
func answers(texts ...string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) {
		if len(texts) == 0 {
			return nil, errors.New("asked too often")
		}
		text := texts[0]
		texts = texts[1:]
		return []byte(text), nil
	}
}

func TestPlainAndLogin(t *testing.T) {
	for _, c := range []struct {
		name, mech string
		initial    []byte
		later      []string
		want       error
	}{
		{"initial", Plain, []byte("\x00" + alice + "\x00" + secret), nil, nil},
		{"asked", Plain, nil, []string{"\x00" + alice + "\x00" + secret}, nil},
		{"own authzid", "plain", []byte(alice + "\x00" + strings.ToUpper(alice) + "\x00" + secret), nil, nil},
		{"other authzid", Plain, []byte("bob@example.test\x00" + alice + "\x00" + secret), nil, ErrAuthzid},
		{"wrong password", Plain, []byte("\x00" + alice + "\x00no"), nil, ErrCredentials},
		{"unknown user", Plain, []byte("\x00eve@example.test\x00" + secret), nil, ErrCredentials},
		{"empty message", Plain, []byte{}, nil, ErrProtocol},
		{"empty password", Plain, []byte("\x00" + alice + "\x00"), nil, ErrProtocol},
		{"two parts", Plain, []byte(alice + "\x00" + secret), nil, ErrProtocol},
		{"four parts", Plain, []byte("\x00" + alice + "\x00" + secret + "\x00"), nil, ErrProtocol},
		{"not UTF-8", Plain, []byte("\x00" + alice + "\x00\xff"), nil, ErrProtocol},
		{"too long", Plain, []byte("\x00" + alice + "\x00" + strings.Repeat("x", MaxLine)), nil, ErrProtocol},
		{"asked", Login, nil, []string{alice, secret}, nil},
		{"initial", Login, []byte(alice), []string{secret}, nil},
		{"wrong password", Login, nil, []string{alice, "no"}, ErrCredentials},
		{"empty name", Login, nil, []string{"", secret}, ErrProtocol},
		{"empty password", Login, []byte(alice), []string{""}, ErrProtocol},
		{"NUL", Login, nil, []string{"a\x00b"}, ErrProtocol},
	} {
		t.Run(c.mech+" "+c.name, func(t *testing.T) {
			s, err := begin(c.mech, &house{})
			if err != nil {
				t.Fatal(err)
			}
			who, err := Run(s, c.initial, answers(c.later...))
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want == nil && (who.Account != 7 || who.Login != alice) {
				t.Errorf("identity %+v", who)
			}
			if _, _, err := s.Next([]byte("\x00" + alice + "\x00" + secret)); err == nil {
				t.Error("the exchange goes on after its end")
			}
		})
	}
}

func TestThrottled(t *testing.T) {
	for mech, first := range map[string]string{
		Plain:       "\x00" + alice + "\x00" + secret,
		ScramSHA256: "n,,n=" + alice + ",r=abcdef",
		OAuthBearer: "n,,\x01auth=Bearer good+token==\x01\x01",
	} {
		s, err := begin(mech, &house{throttled: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(s, []byte(first), answers()); !errors.Is(err, ErrThrottled) {
			t.Errorf("%s: %v, want ErrThrottled", mech, err)
		}
	}
}

func TestMechanisms(t *testing.T) {
	srv, _ := handshake(t, tls.VersionTLS13)
	named := func(*tls.ConnectionState) []string { return []string{alice} }
	for want, c := range map[string]struct {
		policy Policy
		state  *tls.ConnectionState
	}{
		"SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN":                                     {Policy{Names: named}, nil},
		"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN": {Policy{}, &srv},
		"EXTERNAL SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN":        {Policy{Names: named, OpenID: "x", HidePlus: true}, &srv},
	} {
		if got := strings.Join(c.policy.Mechanisms(c.state), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if _, err := begin("CRAM-MD5", &house{}); !errors.Is(err, ErrMechanism) {
		t.Errorf("unknown mechanism: %v", err)
	}
}

func TestDecode(t *testing.T) {
	if got, err := DecodeInitial("="); err != nil || got == nil || len(got) != 0 {
		t.Errorf(`"=" is %v, %v`, got, err)
	}
	if got, err := Decode(nil); err != nil || got == nil {
		t.Errorf("empty line is %v, %v", got, err)
	}
	if got, err := Decode([]byte("AGEAYg==")); err != nil || string(got) != "\x00a\x00b" {
		t.Errorf("%q, %v", got, err)
	}
	for line, want := range map[string]error{
		"*": ErrCancelled, "**": ErrBase64, "AGEAYg": ErrBase64, "AGE\nAYg==": ErrBase64, "=": ErrBase64,
		strings.Repeat("A", MaxLine+4): ErrProtocol,
	} {
		if _, err := Decode([]byte(line)); !errors.Is(err, want) {
			t.Errorf("Decode(%.20q): %v, want %v", line, err, want)
		}
	}
}

func FuzzExchange(f *testing.F) {
	f.Add(Plain, []byte("\x00a\x00b"), []byte(""))
	f.Add(Login, []byte("a"), []byte("b"))
	f.Add(ScramSHA256, []byte("n,,n=alice@example.test,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add(ScramSHA256, []byte("y,a=x,n=a=2Cb,r=abc,m=1"), []byte(""))
	f.Add(ScramSHA1, []byte("n,,n=alice@example.test,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add(External, []byte(alice), []byte(""))
	f.Add(OAuthBearer, []byte("n,a=a=2Cb,\x01host=x\x01auth=Bearer abc\x01\x01"), []byte{1})
	f.Add(XOAuth2, []byte("user=a\x01auth=Bearer abc\x01\x01"), []byte(""))
	state, _ := handshake(f, tls.VersionTLS13)
	f.Fuzz(func(t *testing.T, mech string, first, second []byte) {
		h := &house{}
		policy := Policy{OpenID: "x", Names: func(*tls.ConnectionState) []string { return []string{alice} }}
		s, err := policy.Begin(t.Context(), mech, h, &state)
		if err != nil {
			return
		}
		who, err := Run(s, first, answers(string(second), string(second), ""))
		if err == nil && who.Account == 0 {
			t.Fatal("logged in as nobody")
		}
		if len(h.done) > 1 {
			t.Fatalf("outcome told %d times", len(h.done))
		}
	})
}
