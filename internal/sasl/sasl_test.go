package sasl

import (
	"context"
	"crypto"
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

func client(t *testing.T, hash crypto.Hash, login, password, authzid string) *scram.Client {
	t.Helper()
	c, err := generator(hash).NewClient(login, password, authzid)
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
		for mech, hash := range map[string]crypto.Hash{ScramSHA1: crypto.SHA1, ScramSHA256: crypto.SHA256} {
			t.Run(mech+" "+c.name, func(t *testing.T) {
				h := &house{}
				s, err := begin(mech, h)
				if err != nil {
					t.Fatal(err)
				}
				initial, ask := scramClient(client(t, hash, c.login, c.password, c.authzid).NewConversation(), c.change)
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
}

// handshake gives both ends' view of a TLS connection.
func handshake(t testing.TB, version uint16) (srv, cli tls.ConnectionState) {
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
		for mech, hash := range map[string]crypto.Hash{ScramSHA1: crypto.SHA1, ScramSHA256: crypto.SHA256} {
			t.Run(tls.VersionName(version)+" "+mech, func(t *testing.T) { scramPlus(t, version, mech, hash) })
		}
	}
}

func scramPlus(t *testing.T, version uint16, mech string, hash crypto.Hash) {
	srv, cli := handshake(t, version)
	other, otherCli := handshake(t, version)
	shown := cli.PeerCertificates[0]
	policy := Policy{Certificate: func() *x509.Certificate { return shown }}
	exporter, err := scram.NewTLSExporterBinding(&cli)
	if err != nil {
		t.Fatal(err)
	}
	endPoint, err := scram.NewTLSServerEndpointBinding(&cli)
	if err != nil {
		t.Fatal(err)
	}
	otherPoint, err := scram.NewTLSServerEndpointBinding(&otherCli)
	if err != nil {
		t.Fatal(err)
	}
	unique := scram.NewTLSUniqueBinding(cli.TLSUnique)
	wantUnique := error(nil)
	if version == tls.VersionTLS13 {
		unique, wantUnique = scram.NewTLSUniqueBinding(exporter.Data), ErrProtocol
	}
	c := client(t, hash, alice, secret, "")
	bound := c.NewConversationWithChannelBinding
	hidden, noPoint := policy, Policy{}
	hidden.HidePlus = true
	for name, try := range map[string]struct {
		policy Policy
		plus   bool
		state  *tls.ConnectionState
		conv   *scram.ClientConversation
		want   error
	}{
		"tls-exporter":                {policy, true, &srv, bound(exporter), nil},
		"tls-exporter, not announced": {hidden, true, &srv, bound(exporter), nil},
		"tls-server-end-point":        {policy, true, &srv, bound(endPoint), nil},
		"tls-unique":                  {policy, true, &srv, bound(unique), wantUnique},
		"somebody in the middle":      {policy, true, &other, bound(exporter), ErrCredentials},
		"somebody else's certificate": {policy, true, &srv, bound(otherPoint), ErrCredentials},
		"no certificate known":        {noPoint, true, &srv, bound(endPoint), ErrProtocol},
		"-PLUS without TLS":           {policy, true, nil, bound(exporter), ErrMechanism},
		"-PLUS without binding":       {policy, true, &srv, c.NewConversation(), ErrProtocol},
		"without -PLUS":               {policy, false, &srv, c.NewConversation(), nil},
		"the list was tampered with":  {policy, false, &srv, c.NewConversationAdvertisingChannelBinding(), ErrProtocol},
		"-PLUS was not in the list":   {hidden, false, &srv, c.NewConversationAdvertisingChannelBinding(), nil},
	} {
		name, mech := name, mech
		if try.plus {
			mech += "-PLUS"
		}
		s, err := try.policy.Begin(t.Context(), mech, &house{}, try.state)
		if err == nil {
			initial, ask := scramClient(try.conv, nil)
			_, err = Run(s, initial, ask)
		}
		if !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

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
