package nettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// CA is a certificate authority for tests.
type CA struct {
	Cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above [][]byte // the certificates from Cert up, the root included
}

// Leaf is what a certificate says.
type Leaf struct {
	Names []string
	// NotBefore and NotAfter are by default an hour ago and an hour from now.
	NotBefore, NotAfter time.Time
}

// NewCA makes a root.
func NewCA(t TB, name string) *CA {
	t.Helper()
	return newCA(t, name, nil)
}

// Sub makes an authority below ca.
func (ca *CA) Sub(t TB, name string) *CA {
	t.Helper()
	return newCA(t, name, ca)
}

func newCA(t TB, name string, parent *CA) *CA {
	t.Helper()
	template := Leaf{}.template(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	cert, key := sign(t, template, parent)
	ca := &CA{Cert: cert, key: key, above: [][]byte{cert.Raw}}
	if parent != nil {
		ca.above = append(ca.above, parent.above...)
	}
	return ca
}

// Issue makes a certificate with its chain up to and with the root.
func (ca *CA) Issue(t TB, l Leaf) tls.Certificate {
	t.Helper()
	cert, key := sign(t, l.template("leaf"), ca)
	return tls.Certificate{Certificate: append([][]byte{cert.Raw}, ca.above...), PrivateKey: key, Leaf: cert}
}

// SelfSigned makes a certificate that is its own authority.
func SelfSigned(t TB, l Leaf) tls.Certificate {
	t.Helper()
	cert, key := sign(t, l.template("self"), nil)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// Pool is what trusts ca and nobody else.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Cert)
	return p
}

func (l Leaf) template(name string) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: l.Names, NotBefore: l.NotBefore, NotAfter: l.NotAfter,
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = time.Now().Add(time.Hour)
	}
	return t
}

// sign makes a key and a certificate for it, signed by ca or by itself.
func sign(t TB, template *x509.Certificate, ca *CA) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.Cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
