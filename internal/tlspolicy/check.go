package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"posthouse/internal/mailauth/dane"
)

// ResultType is the outcome of a session in the words of RFC 8460 section 4.3.
type ResultType string

// The result types; "" is success.
const (
	Success              ResultType = ""
	StartTLSNotSupported ResultType = "starttls-not-supported"
	HostMismatch         ResultType = "certificate-host-mismatch"
	Expired              ResultType = "certificate-expired"
	NotTrusted           ResultType = "certificate-not-trusted"
	ValidationFailure    ResultType = "validation-failure"
	TLSAInvalid          ResultType = "tlsa-invalid"
	DNSSECInvalid        ResultType = "dnssec-invalid"
	DANERequired         ResultType = "dane-required"
	STSFetchError        ResultType = "sts-policy-fetch-error"
	STSInvalid           ResultType = "sts-policy-invalid"
	STSWebPKIInvalid     ResultType = "sts-webpki-invalid"
)

// Problem is a failure in words of reports.
type Problem struct {
	Type   ResultType
	Reason string // one line
}

// Errors of Check, beside those of package dane.
var (
	errNotTrusted = errors.New("the certificate is not trusted")
	errExpired    = errors.New("the certificate is expired or not valid yet")
	errName       = errors.New("the certificate is for another name")
)

// Check judges the certificate that a server showed. At levels that ask for no
// authentication it is what authentication would have said. roots nil are the
// system's.
func (p *Policy) Check(cs *tls.ConnectionState, roots *x509.CertPool, now time.Time) error {
	if p.Level == DANE && len(p.TLSA) > 0 {
		return dane.Verify(p.TLSA, cs.PeerCertificates, p.Names, now)
	}
	if len(cs.PeerCertificates) == 0 {
		return errNotTrusted
	}
	leaf, between := cs.PeerCertificates[0], x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return errExpired
		}
		return errNotTrusted
	}
	names := p.Names
	if len(names) == 0 {
		names = []string{p.Host}
	}
	for _, name := range names {
		if leaf.VerifyHostname(name) == nil || p.Level == Secure && below(leaf, name) {
			return nil
		}
	}
	return errName
}

// below reports whether a certificate is for a name in domain, as Postfix's
// level "secure" takes it.
func below(leaf *x509.Certificate, domain string) bool {
	for _, name := range leaf.DNSNames {
		if strings.HasSuffix(strings.ToLower(name), "."+domain) {
			return true
		}
	}
	return false
}

// TypeOf is an error of Check in words of reports.
func TypeOf(err error) ResultType {
	switch {
	case err == nil:
		return Success
	case errors.Is(err, errName), errors.Is(err, dane.ErrName):
		return HostMismatch
	case errors.Is(err, errExpired), errors.Is(err, dane.ErrExpired):
		return Expired
	case errors.Is(err, errNotTrusted), errors.Is(err, dane.ErrChain):
		return NotTrusted
	}
	return ValidationFailure
}

// Words is an error of Check in few words for people.
func Words(err error) string {
	switch TypeOf(err) {
	case HostMismatch:
		return "the server's certificate is for another name"
	case Expired:
		return "the server's certificate is expired or not valid yet"
	case NotTrusted:
		return "the server's certificate is not trusted"
	}
	return "the server's certificate is not the one in the TLSA records"
}
