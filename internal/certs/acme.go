package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// acmeProtocol is the ALPN name of the TLS-ALPN-01 challenge (RFC 8737 section 3).
const acmeProtocol = "acme-tls/1"

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Contains(hello.SupportedProtos, acmeProtocol)
}

// acmeSource fetches and renews a certificate (RFC 8555).
type acmeSource struct {
	config   *certmagic.Config
	cache    *certmagic.Cache
	issuer   *certmagic.ACMEIssuer
	storage  *storage
	fallback *selfSigned
	names    []string
	cancel   context.CancelFunc
	ctx      context.Context
}

func newACME(opt Options) (*acmeSource, error) {
	if !opt.ACMEAgree {
		return nil, errors.New("certs: the authority's terms are not accepted")
	}
	fallback, err := newSelfSigned(opt)
	if err != nil {
		return nil, err
	}
	a := &acmeSource{fallback: fallback, names: []string{opt.Hostname}, storage: newStorage(filepath.Join(opt.Dir, "acme"))}
	logger := zap.New(zapBridge{log: opt.Log})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: a.storage,
		Logger:  logger,
	})
	template := certmagic.ACMEIssuer{
		CA: opt.ACMECA, Email: opt.ACMEEmail, Agreed: true, Logger: logger, TrustedRoots: opt.ACMERoots,
		AltHTTPPort: opt.ACMEHTTPPort, AltTLSALPNPort: opt.ACMETLSPort,
	}
	if opt.ACMECA == "" {
		template.CA = certmagic.LetsEncryptProductionCA
	} else {
		template.TestCA = opt.ACMECA // no second authority behind the operator's back
	}
	a.issuer = certmagic.NewACMEIssuer(a.config, template)
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if err := a.config.ManageAsync(a.ctx, a.names); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// certificate answers challenges, gives the certificate fetched, and until there
// is one the self-signed one: opportunistic TLS is better than none.
func (a *acmeSource) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if isChallenge(hello) {
		return a.config.GetCertificate(hello)
	}
	named := *hello
	if hello.ServerName == "" || hello.ServerName != a.names[0] {
		named.ServerName = a.names[0] // we have one name and no other
	}
	if cert, err := a.config.GetCertificate(&named); err == nil {
		return cert, nil
	}
	return a.fallback.certificate(hello)
}

func (a *acmeSource) leaf() *x509.Certificate {
	for _, cert := range a.cache.AllMatchingCertificates(a.names[0]) {
		if cert.Leaf != nil && !cert.Expired() { // those of challenges have none
			return cert.Leaf
		}
	}
	return a.fallback.leaf()
}

// reload looks whether another process has fetched a certificate.
func (a *acmeSource) reload() error { return a.config.ManageAsync(a.ctx, a.names) }

func (a *acmeSource) close() error {
	a.cancel()
	a.cache.Stop()
	return a.storage.close()
}
