package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"posthouse/internal/clock"
)

func TestClientNames(t *testing.T) {
	start := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	serial := int64(0)
	keys := make(map[*x509.Certificate]*ecdsa.PrivateKey)
	certify := func(c, parent *x509.Certificate) *x509.Certificate {
		serial++
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.Subject.CommonName = fmt.Sprint("number ", serial)
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(serial), start, start.Add(24*time.Hour)
		signer := keys[parent]
		if parent == nil {
			parent, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		keys[cert] = key
		return cert
	}
	authority := func(parent *x509.Certificate) *x509.Certificate {
		return certify(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, parent)
	}
	person := func(parent *x509.Certificate, usage x509.ExtKeyUsage, addresses ...string) *x509.Certificate {
		return certify(&x509.Certificate{EmailAddresses: addresses, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, parent)
	}
	root, other := authority(nil), authority(nil)
	between := authority(root)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := append([]byte("our people\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	clk := clock.NewFake(start.Add(time.Hour))
	clients, err := NewClients(file, clk)
	if err != nil {
		t.Fatal(err)
	}
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	good := []*x509.Certificate{person(root, client, "a@x.test", "b@x.test")}
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		want  []string
	}{
		"none":             {nil, nil},
		"good":             {good, []string{"a@x.test", "b@x.test"}},
		"by an agent":      {[]*x509.Certificate{person(between, client, "a@x.test"), between}, []string{"a@x.test"}},
		"agent not shown":  {[]*x509.Certificate{person(between, client, "a@x.test")}, nil},
		"other authority":  {[]*x509.Certificate{person(other, client, "a@x.test"), other}, nil},
		"self-signed":      {[]*x509.Certificate{person(nil, client, "a@x.test")}, nil},
		"a server's":       {[]*x509.Certificate{person(root, server, "a@x.test")}, nil},
		"without address":  {[]*x509.Certificate{person(root, client)}, nil},
		"behind another's": {[]*x509.Certificate{person(other, client, "a@x.test"), good[0]}, nil},
	} {
		if got := clients.Names(&tls.ConnectionState{PeerCertificates: c.chain}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	clk.Advance(24 * time.Hour)
	if got := clients.Names(&tls.ConnectionState{PeerCertificates: good}); got != nil {
		t.Errorf("out of date: %q", got)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none.pem"), writeFile(t, "no certificate"), writeFile(t, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")} {
		if _, err := NewClients(bad, clk); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What tls-server-end-point binds to is what the client is shown.
func TestLeafIsTheOneShown(t *testing.T) {
	m := newManager(t, Options{Mode: SelfSigned, Hostname: "mx.example.test", Dir: t.TempDir()})
	conn, err := tls.Dial("tcp", serveTLS(t, m.TLS()).Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if shown := conn.ConnectionState().PeerCertificates[0]; !shown.Equal(m.Leaf()) {
		t.Errorf("shown %s, Leaf gives %s", shown.SerialNumber, m.Leaf().SerialNumber)
	}
}
