package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"posthouse/internal/clock"
)

// Clients judges the certificates that clients show.
type Clients struct {
	roots *x509.CertPool
	clock clock.Clock
}

// maxNames is how many addresses of a certificate are looked at.
const maxNames = 16

// NewClients reads the certificates of the authorities that vouch for clients
// from a PEM file.
func NewClients(file string, clk clock.Clock) (*Clients, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &Clients{roots: x509.NewCertPool(), clock: clk}
	found := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c.roots.AddCert(cert)
		found = true
	}
	if !found {
		return nil, fmt.Errorf("%s: %w", file, errors.New("no certificate in it"))
	}
	return c, nil
}

// Ask is cfg with a request for the client's certificate. A client without one,
// or with one that is not ours, is served all the same: it only cannot use it to
// log in.
func (c *Clients) Ask(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.ClientAuth, cfg.ClientCAs = tls.RequestClientCert, c.roots
	return cfg
}

// Names are the mail addresses (rfc822Name, RFC 5280 section 4.2.1.6) in the
// certificate of the other end; none when our authorities do not vouch for it as
// a client's now.
func (c *Clients) Names(state *tls.ConnectionState) []string {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	if len(leaf.EmailAddresses) == 0 {
		return nil
	}
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: between, CurrentTime: c.clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil
	}
	return leaf.EmailAddresses[:min(len(leaf.EmailAddresses), maxNames)]
}
