package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

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

func (h *house) Scram(_ context.Context, login string) (ScramSecret, error) {
	if h.throttled {
		return ScramSecret{}, ErrThrottled
	}
	password := secret
	if !strings.EqualFold(login, alice) {
		password = "made up"
	}
	client, err := scram.SHA256.NewClient(login, password, "")
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
			s, err := New(c.mech, &house{}, Info{})
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
	for _, mech := range []string{Plain, ScramSHA256} {
		s, err := New(mech, &house{throttled: true}, Info{})
		if err != nil {
			t.Fatal(err)
		}
		first := "\x00" + alice + "\x00" + secret
		if mech == ScramSHA256 {
			first = "n,,n=" + alice + ",r=abcdef"
		}
		if _, err := Run(s, []byte(first), answers()); !errors.Is(err, ErrThrottled) {
			t.Errorf("%s: %v, want ErrThrottled", mech, err)
		}
	}
}

// scramClient answers with the library's client; change may spoil a message.
func scramClient(conv *scram.ClientConversation, change func(n int, msg string) string) (initial []byte, ask func([]byte) ([]byte, error)) {
	n := 0
	step := func(challenge string) ([]byte, error) {
		if conv.Done() {
			return []byte{}, nil
		}
		msg, err := conv.Step(challenge)
		if err != nil {
			return nil, err
		}
		n++
		if change != nil {
			msg = change(n, msg)
		}
		return []byte(msg), nil
	}
	initial, _ = step("")
	return initial, func(challenge []byte) ([]byte, error) { return step(string(challenge)) }
}

func client(t *testing.T, login, password, authzid string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(login, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScram(t *testing.T) {
	for _, c := range []struct {
		name, login, password, authzid string
		change                         func(int, string) string
		want                           error
		told                           []bool
	}{
		{"right", alice, secret, "", nil, nil, []bool{true}},
		{"own authzid", alice, secret, alice, nil, nil, []bool{true}},
		{"other authzid", alice, secret, "bob@example.test", nil, ErrAuthzid, []bool{true}},
		{"wrong password", alice, "no", "", nil, ErrCredentials, []bool{false}},
		{"unknown user", "eve@example.test", secret, "", nil, ErrCredentials, []bool{false}},
		{"garbage first", alice, secret, "", func(n int, m string) string { return "n,,garbage" }, ErrProtocol, nil},
		{"binding without plus", alice, secret, "", func(n int, m string) string { return "p=tls-exporter" + m[1:] }, ErrProtocol, nil},
		{"garbage final", alice, secret, "", func(n int, m string) string {
			if n == 2 {
				return "c=biws"
			}
			return m
		}, ErrCredentials, []bool{false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &house{}
			s, err := New(ScramSHA256, h, Info{})
			if err != nil {
				t.Fatal(err)
			}
			initial, ask := scramClient(client(t, c.login, c.password, c.authzid).NewConversation(), c.change)
			who, err := Run(s, initial, ask)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want == nil && who.Account != 7 {
				t.Errorf("identity %+v", who)
			}
			if !slices.Equal(h.done, c.told) {
				t.Errorf("ScramDone was told %v, want %v", h.done, c.told)
			}
		})
	}
}

// handshake gives both ends' view of a TLS connection.
func handshake(t *testing.T, version uint16) (srv, cli tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, &tls.Config{MaxVersion: version, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	peer := tls.Client(b, &tls.Config{MaxVersion: version, InsecureSkipVerify: true})
	failed := make(chan error, 1)
	go func() {
		err := peer.Handshake()
		if err == nil {
			// TLS 1.3 sends session tickets that want to be read.
			go peer.Read(make([]byte, 1))
		}
		failed <- err
	}()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return server.ConnectionState(), peer.ConnectionState()
}

func TestScramPlus(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			srv, cli := handshake(t, version)
			other, _ := handshake(t, version)
			if !Bindable(&srv) {
				t.Fatal("not bindable")
			}
			binding, err := scram.NewTLSExporterBinding(&cli)
			if err != nil {
				t.Fatal(err)
			}
			try := func(mech string, state *tls.ConnectionState, conv *scram.ClientConversation) error {
				s, err := New(mech, &house{}, Info{TLS: state})
				if err != nil {
					return err
				}
				initial, ask := scramClient(conv, nil)
				_, err = Run(s, initial, ask)
				return err
			}
			c := client(t, alice, secret, "")
			if err := try(ScramSHA256Plus, &srv, c.NewConversationWithChannelBinding(binding)); err != nil {
				t.Errorf("right binding: %v", err)
			}
			if err := try(ScramSHA256Plus, &other, c.NewConversationWithChannelBinding(binding)); !errors.Is(err, ErrCredentials) {
				t.Errorf("somebody in the middle: %v", err)
			}
			if err := try(ScramSHA256Plus, nil, c.NewConversationWithChannelBinding(binding)); !errors.Is(err, ErrMechanism) {
				t.Errorf("-PLUS without TLS: %v", err)
			}
			if err := try(ScramSHA256Plus, &srv, c.NewConversation()); !errors.Is(err, ErrProtocol) {
				t.Errorf("-PLUS without binding: %v", err)
			}
			if err := try(ScramSHA256, &srv, c.NewConversation()); err != nil {
				t.Errorf("without -PLUS: %v", err)
			}
			if err := try(ScramSHA256, &srv, c.NewConversationAdvertisingChannelBinding()); !errors.Is(err, ErrProtocol) {
				t.Errorf("list of mechanisms was tampered with: %v", err)
			}
			if version == tls.VersionTLS12 {
				unique := scram.NewTLSUniqueBinding(cli.TLSUnique)
				if err := try(ScramSHA256Plus, &srv, c.NewConversationWithChannelBinding(unique)); err != nil {
					t.Errorf("tls-unique: %v", err)
				}
			}
		})
	}
}

func TestMechanisms(t *testing.T) {
	if m := Mechanisms(false, false, false); len(m) != 0 {
		t.Errorf("in the clear: %v", m)
	}
	if m := Mechanisms(false, true, false); !slices.Equal(m, []string{ScramSHA256, Plain, Login}) {
		t.Errorf("in the clear, allowed: %v", m)
	}
	if m := Mechanisms(true, false, true); m[0] != ScramSHA256Plus || len(m) != 4 {
		t.Errorf("bindable: %v", m)
	}
	if _, err := New("CRAM-MD5", &house{}, Info{}); !errors.Is(err, ErrMechanism) {
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
	f.Fuzz(func(t *testing.T, mech string, first, second []byte) {
		h := &house{}
		s, err := New(mech, h, Info{})
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
