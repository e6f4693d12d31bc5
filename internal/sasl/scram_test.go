package sasl

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/xdg-go/scram"

	"posthouse/internal/nettest"
)

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
	cert := nettest.SelfSigned(t, nettest.Leaf{Names: []string{"mx.example.test"}})
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, &tls.Config{MaxVersion: version, Certificates: []tls.Certificate{cert}})
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
