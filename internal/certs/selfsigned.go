package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A self-signed certificate lives for a year and is made anew a month before
// that is over.
const (
	selfSignedLife  = 365 * 24 * time.Hour
	selfSignedRenew = 30 * 24 * time.Hour
)

const selfSignedFile = "self-signed.pem"

// selfSigned is a certificate of our own making, for the host's name and for
// loopback.
type selfSigned struct {
	opt   Options
	file  string
	names []string

	mu   sync.Mutex
	cert *tls.Certificate
}

func newSelfSigned(opt Options) (*selfSigned, error) {
	s := &selfSigned{opt: opt, file: filepath.Join(opt.Dir, selfSignedFile), names: []string{"localhost"}}
	if opt.Hostname != "" && opt.Hostname != "localhost" {
		s.names = []string{opt.Hostname, "localhost"}
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	if cert, err := tls.LoadX509KeyPair(s.file, s.file); err == nil && s.good(&cert) {
		s.cert = &cert
		return s, nil
	}
	return s, s.make()
}

// good reports whether a certificate is for our names and will live a while.
func (s *selfSigned) good(c *tls.Certificate) bool {
	leaf := c.Leaf
	return leaf != nil && slices.Equal(leaf.DNSNames, s.names) && s.fresh(leaf)
}

func (s *selfSigned) fresh(leaf *x509.Certificate) bool {
	now := s.opt.Clock.Now()
	return now.Add(selfSignedRenew).Before(leaf.NotAfter) && !now.Before(leaf.NotBefore)
}

// make makes a new certificate and keeps it in the file. The caller holds mu,
// or nobody else knows s.
func (s *selfSigned) make() error {
	text, err := s.encode()
	if err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	tmp := s.file + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	if err := os.Rename(tmp, s.file); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	s.cert = &cert
	s.opt.Log.Info("made a self-signed certificate", "name", s.names[0], "until", cert.Leaf.NotAfter)
	return nil
}

// encode is a new key and its certificate as PEM.
func (s *selfSigned) encode() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := s.opt.Clock.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: s.names[0], Organization: []string{"Posthouse, self-signed"}},
		DNSNames:              s.names,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

func (s *selfSigned) leaf() *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cert.Leaf
}

// certificate gives the certificate, a new one when its time comes near.
func (s *selfSigned) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh(s.cert.Leaf) {
		if err := s.make(); err != nil {
			s.opt.Log.Error("the self-signed certificate cannot be renewed", "err", err)
		}
	}
	return s.cert, nil
}

func (s *selfSigned) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good(s.cert) {
		return nil
	}
	return s.make()
}

func (s *selfSigned) close() error { return nil }
