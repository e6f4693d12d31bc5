package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/xdg-go/scram"
)

// authorities are a fake issuer of tokens and a fake issuer of client
// certificates.
type authorities struct {
	t      testing.TB
	key    *ecdsa.PrivateKey // of both
	ca     *x509.Certificate
	issuer string // URL
}

func newAuthorities(t testing.TB) *authorities {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mustDo(t, err)
	a := &authorities{t: t, key: key}
	a.ca = a.certify(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	web := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: "ES256"}}}
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	web.SetIssuer(server.URL)
	a.issuer = server.URL
	return a
}

// certify signs a certificate; by itself without a parent.
func (a *authorities) certify(c, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, a.key.Public(), a.key)
	mustDo(a.t, err)
	cert, err := x509.ParseCertificate(der)
	mustDo(a.t, err)
	return cert
}

// file has the authority's certificate.
func (a *authorities) file() string {
	a.t.Helper()
	name := filepath.Join(a.t.TempDir(), "clients.pem")
	mustDo(a.t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Raw}), 0o600))
	return name
}

// client is the TLS configuration of one who has a certificate with addresses.
func (a *authorities) client(usage x509.ExtKeyUsage, addresses ...string) *tls.Config {
	cert := a.certify(&x509.Certificate{EmailAddresses: addresses, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, a.ca)
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: a.key}}}
}

func (a *authorities) token(address, audience string) string {
	claims, err := json.Marshal(map[string]any{
		"groups": strings.Repeat("staff ", 1000), // tokens are long
		"iss":    a.issuer, "aud": audience, "sub": "1", "exp": time.Now().Add(time.Hour).Unix(), "email": address, "email_verified": true,
	})
	mustDo(a.t, err)
	return oidctest.SignIDToken(a.key, "k", "ES256", string(claims))
}

// exchange is the client's side of a SASL exchange.
type exchange func(challenge string) (response string, err error)

// says answers every challenge with one text, then with nothing.
func says(text string) exchange {
	return func(string) (string, error) {
		out := text
		text = ""
		return out, nil
	}
}

func scramming(hash scram.HashGeneratorFcn, password string, binding ...scram.ChannelBinding) exchange {
	client, err := hash.NewClient("alice@"+Domain, password, "")
	if err != nil {
		panic(err)
	}
	conv := client.NewConversation()
	if len(binding) > 0 {
		conv = client.NewConversationWithChannelBinding(binding[0])
	}
	return func(challenge string) (string, error) {
		if conv.Done() {
			return "", nil
		}
		return conv.Step(challenge)
	}
}

// authDoor is how a protocol asks for a login.
type authDoor struct {
	name    string
	prelude []string // commands and what ends their answers, in turn
	command string   // with the mechanism
	ask     string   // begins a challenge
	ok      string   // begins the reply to a success
	list    string   // begins the line with the mechanisms
}

var authDoors = []authDoor{
	{"submissions", []string{"EHLO client.test", "250 "}, "AUTH %s", "334 ", "235 ", "AUTH "},
	{"imaps", []string{"a CAPABILITY", "a OK"}, "b AUTHENTICATE %s", "+ ", "b OK", "* CAPABILITY "},
	{"pop3s", []string{"CAPA", "."}, "AUTH %s", "+ ", "+OK", "SASL "},
}

// dialAuth connects and gives what is offered.
func dialAuth(t testing.TB, h *House, d authDoor, cfg *tls.Config) (*tls.Conn, *bufio.Reader, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", h.Addr[d.name], cfg)
	mustDo(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(clientTimeout))
	r := bufio.NewReader(conn)
	_, err = r.ReadString('\n')
	mustDo(t, err)
	fmt.Fprintf(conn, "%s\r\n", d.prelude[0])
	var offered string
	for {
		line, err := r.ReadString('\n')
		mustDo(t, err)
		if rest, ok := strings.CutPrefix(strings.TrimLeft(line, "250- "), d.list); ok {
			offered = strings.TrimSpace(rest)
		}
		if strings.HasPrefix(line, d.prelude[1]) {
			break
		}
	}
	if _, after, ok := strings.Cut(offered, " AUTH="); ok { // IMAP lists them among others
		offered = strings.ReplaceAll(after, " AUTH=", " ")
	}
	return conn, r, offered
}

// authenticate carries out an exchange; told is what the challenges said.
func authenticate(t testing.TB, d authDoor, conn io.Writer, r *bufio.Reader, mech string, ex exchange) (ok bool, told string) {
	t.Helper()
	fmt.Fprintf(conn, d.command+"\r\n", mech)
	for {
		line, err := r.ReadString('\n')
		mustDo(t, err)
		word, asked := strings.CutPrefix(strings.TrimRight(line, "\r\n"), d.ask)
		if !asked {
			return strings.HasPrefix(line, d.ok), told
		}
		challenge, err := base64.StdEncoding.DecodeString(word)
		mustDo(t, err)
		told += string(challenge)
		response, err := ex(string(challenge))
		if err != nil {
			fmt.Fprint(conn, "*\r\n")
			continue
		}
		fmt.Fprintf(conn, "%s\r\n", base64.StdEncoding.EncodeToString([]byte(response)))
	}
}

// Every way to log in works at every door, and is offered where it does.
func TestLogins(t *testing.T) {
	a := newAuthorities(t)
	t.Setenv("POSTHOUSE_AUTH_CLIENT_CA", a.file())
	h := NewHouse(t, "127.0.0.1", "mx.example.test", fmt.Sprintf("---\n[auth.oidc]\nissuer = %q\naudience = \"mail\"\n", a.issuer),
		"alice@"+Domain, "bob@"+Domain)
	h.Start()
	for _, d := range authDoors {
		t.Run(d.name, func(t *testing.T) {
			logins(t, h, a, d)
			initialResponse(t, h, a, d)
		})
	}
	t.Run("certificates", func(t *testing.T) { certificates(t, h, a) })
	h.Stop()
}

func logins(t *testing.T, h *House, a *authorities, d authDoor) {
	alice, bob := "alice@"+Domain, "bob@"+Domain
	certified := a.client(x509.ExtKeyUsageClientAuth, "alice@old.example", alice)
	plain := &tls.Config{InsecureSkipVerify: true}
	bearer := func(user, token string) exchange {
		return says("n,a=" + user + ",\x01host=mx.example.test\x01auth=Bearer " + token + "\x01\x01")
	}
	google := func(user, token string) exchange {
		return says("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
	}
	exporter := func(s *tls.ConnectionState) scram.ChannelBinding { b, _ := scram.NewTLSExporterBinding(s); return b }
	endPoint := func(s *tls.ConnectionState) scram.ChannelBinding {
		b, _ := scram.NewTLSServerEndpointBinding(s)
		return b
	}
	good, foreign, nobody := a.token(alice, "mail"), a.token(alice, "others"), a.token("nobody@"+Domain, "mail")
	refusal := `{"status":"invalid_token","openid-configuration":"` + a.issuer + `/.well-known/openid-configuration"}`
	for _, c := range []struct {
		name, mech string
		tls        *tls.Config
		ex         func(*tls.ConnectionState) exchange
		want       bool
		told       string // what a challenge must say
	}{
		{"sha-1", "SCRAM-SHA-1", plain, func(*tls.ConnectionState) exchange { return scramming(scram.SHA1, Password) }, true, ""},
		{"sha-1, wrong", "SCRAM-SHA-1", plain, func(*tls.ConnectionState) exchange { return scramming(scram.SHA1, "wrong") }, false, ""},
		{"sha-256", "SCRAM-SHA-256", plain, func(*tls.ConnectionState) exchange { return scramming(scram.SHA256, Password) }, true, ""},
		{"sha-1 bound", "SCRAM-SHA-1-PLUS", plain, func(s *tls.ConnectionState) exchange { return scramming(scram.SHA1, Password, exporter(s)) }, true, ""},
		{"sha-256 bound", "SCRAM-SHA-256-PLUS", plain, func(s *tls.ConnectionState) exchange { return scramming(scram.SHA256, Password, exporter(s)) }, true, ""},
		{"end point", "SCRAM-SHA-256-PLUS", plain, func(s *tls.ConnectionState) exchange { return scramming(scram.SHA256, Password, endPoint(s)) }, true, ""},
		{"bound elsewhere", "SCRAM-SHA-256-PLUS", plain, func(s *tls.ConnectionState) exchange {
			return scramming(scram.SHA256, Password, scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: make([]byte, 32)})
		}, false, ""},
		{"certificate", "EXTERNAL", certified, func(*tls.ConnectionState) exchange { return says("") }, true, ""},
		{"certificate, named", "EXTERNAL", certified, func(*tls.ConnectionState) exchange { return says(alice) }, true, ""},
		{"certificate, another", "EXTERNAL", certified, func(*tls.ConnectionState) exchange { return says(bob) }, false, ""},
		{"no certificate", "EXTERNAL", plain, func(*tls.ConnectionState) exchange { return says(alice) }, false, ""},
		{"token", "OAUTHBEARER", plain, func(*tls.ConnectionState) exchange { return bearer(alice, good) }, true, ""},
		{"token for another", "OAUTHBEARER", plain, func(*tls.ConnectionState) exchange { return bearer(bob, good) }, false, refusal},
		{"token for others", "OAUTHBEARER", plain, func(*tls.ConnectionState) exchange { return bearer(alice, foreign) }, false, refusal},
		{"token of nobody", "OAUTHBEARER", plain, func(*tls.ConnectionState) exchange { return bearer("nobody@"+Domain, nobody) }, false, refusal},
		{"xoauth2", "XOAUTH2", plain, func(*tls.ConnectionState) exchange { return google(alice, good) }, true, ""},
		{"xoauth2, bad", "XOAUTH2", plain, func(*tls.ConnectionState) exchange { return google(alice, "bad") }, false, `{"status":"401","schemes":"bearer"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r, _ := dialAuth(t, h, d, c.tls)
			state := conn.ConnectionState()
			got, told := authenticate(t, d, conn, r, c.mech, c.ex(&state))
			if got != c.want || !strings.Contains(told, c.told) {
				t.Errorf("%s: %v, want %v; challenges %q", c.mech, got, c.want, told)
			}
		})
	}
}

// initialResponse logs in with everything on one line (RFC 4954 section 4, RFC
// 4959, RFC 5034 section 4).
func initialResponse(t *testing.T, h *House, a *authorities, d authDoor) {
	conn, r, _ := dialAuth(t, h, d, &tls.Config{InsecureSkipVerify: true})
	message := "n,,\x01auth=Bearer " + a.token("alice@"+Domain, "mail") + "\x01\x01"
	mech := "OAUTHBEARER " + base64.StdEncoding.EncodeToString([]byte(message))
	if ok, told := authenticate(t, d, conn, r, mech, says("")); !ok || told != "" {
		t.Errorf("%v, %q", ok, told)
	}
}

// certificates tells who is asked for one, and which are taken.
func certificates(t *testing.T, h *House, a *authorities) {
	alice := "alice@" + Domain
	stranger := newAuthorities(t)
	const passwords = "SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN"
	for name, c := range map[string]struct {
		cfg      *tls.Config
		external bool
	}{
		"none":                {&tls.Config{InsecureSkipVerify: true}, false},
		"ours":                {a.client(x509.ExtKeyUsageClientAuth, alice), true},
		"without an address":  {a.client(x509.ExtKeyUsageClientAuth), false},
		"a server's":          {a.client(x509.ExtKeyUsageServerAuth, alice), false},
		"of other authority":  {stranger.client(x509.ExtKeyUsageClientAuth, alice), false},
		"ours, in TLS 1.2":    {withTLS12(a.client(x509.ExtKeyUsageClientAuth, alice)), true},
		"other's, in TLS 1.2": {withTLS12(stranger.client(x509.ExtKeyUsageClientAuth, alice)), false},
	} {
		for _, d := range authDoors {
			_, _, offered := dialAuth(t, h, d, c.cfg)
			want := passwords
			if d.name == "imaps" { // -PLUS is announced here only
				want = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS " + want
			}
			if c.external {
				want = "EXTERNAL " + want
			}
			if offered != want {
				t.Errorf("%s: %s offers %q, want %q", name, d.name, offered, want)
			}
		}
	}
	if asked(t, h.Addr["smtp"]) {
		t.Error("other servers are asked for a certificate")
	}
	if !asked(t, h.Addr["submission"]) {
		t.Error("STARTTLS clients are not asked for a certificate")
	}
}

func withTLS12(cfg *tls.Config) *tls.Config {
	cfg.MaxVersion = tls.VersionTLS12
	return cfg
}

// asked tells whether a door wants a certificate after STARTTLS.
func asked(t *testing.T, addr string) (yes bool) {
	t.Helper()
	c, err := DialSMTP(addr, "")
	mustDo(t, err)
	defer c.Close()
	_, err = c.Cmd(220, "STARTTLS")
	mustDo(t, err)
	secure := tls.Client(net.Conn(c.conn), &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		yes = true
		return new(tls.Certificate), nil
	}})
	mustDo(t, secure.Handshake())
	return yes
}
