// Package certs keeps the house's TLS certificate: made by itself, read from
// files and read again when they change, or fetched from an ACME authority.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"

	"posthouse/internal/clock"
)

// The modes; package config has the same words.
const (
	SelfSigned = "self-signed"
	Files      = "files"
	ACME       = "acme"
)

// Options of a Manager.
type Options struct {
	Mode     string // default SelfSigned
	Hostname string // the name that the certificate is for
	Dir      string // where certificates made or fetched are kept; created when missing

	Cert, Key string // PEM files, for Files

	ACMEEmail string // whom the authority may write to; may be ""
	ACMECA    string // directory URL; default Let's Encrypt
	ACMEAgree bool   // the authority's terms are accepted
	// ACMEHTTPPort and ACMETLSPort are the ports of the challenges, for tests;
	// default 80 and 443.
	ACMEHTTPPort, ACMETLSPort int
	// ACMERoots are trusted when talking to the authority; default the system's.
	ACMERoots *x509.CertPool

	Log   *slog.Logger // default: nothing is logged
	Clock clock.Clock  // default: the system's
}

// Manager has the certificate. It is safe for concurrent use.
type Manager struct {
	source source
	config *tls.Config
}

// source is one mode.
type source interface {
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	leaf() *x509.Certificate // nil while there is none
	reload() error
	close() error
}

// New makes or loads the certificate. In mode ACME it goes on in the background
// with fetching one, and a self-signed one serves until then.
func New(ctx context.Context, opt Options) (*Manager, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	m := &Manager{}
	var err error
	switch opt.Mode {
	case SelfSigned, "":
		m.source, err = newSelfSigned(opt)
	case Files:
		m.source, err = newFiles(opt)
	case ACME:
		m.source, err = newACME(opt)
	default:
		err = fmt.Errorf("certs: no mode %q", opt.Mode)
	}
	if err != nil {
		return nil, err
	}
	m.config = m.serverConfig()
	return m, nil
}

// serverConfig has TLS 1.2 and 1.3 (RFC 8996 forbids older ones). The cipher
// suites are the standard library's: forward secrecy always, AEAD first.
func (m *Manager) serverConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: m.source.certificate}
	if _, ok := m.source.(*acmeSource); !ok {
		return c
	}
	// The challenge has a protocol of its own (RFC 8737). It must not be offered
	// to others: mail programs that name theirs would find none in common.
	challenge := c.Clone()
	challenge.NextProtos = []string{acmeProtocol}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if isChallenge(hello) {
			return challenge, nil
		}
		return nil, nil
	}
	return c
}

// TLS is the configuration for every listener of the house. Clone it before
// changing it.
func (m *Manager) TLS() *tls.Config { return m.config }

// Leaf is the certificate that the house shows now.
func (m *Manager) Leaf() *x509.Certificate { return m.source.leaf() }

// HTTPChallenge puts the answers to HTTP-01 challenges (RFC 8555 section 8.3)
// before h; without ACME it is h.
func (m *Manager) HTTPChallenge(h http.Handler) http.Handler {
	if a, ok := m.source.(*acmeSource); ok {
		return a.issuer.HTTPChallengeHandler(h)
	}
	return h
}

// Reload looks at once whether there is something new. After an error the old
// certificate stays.
func (m *Manager) Reload() error { return m.source.reload() }

// Close ends work in the background; afterwards nothing is written. Call it once.
func (m *Manager) Close() error { return m.source.close() }
