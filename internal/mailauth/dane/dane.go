// Package dane judges a mail server's certificate by its TLSA records (RFC
// 6698, RFC 7671), with the rules for SMTP (RFC 7672). It looks nothing up: that
// the records are authentic is the caller's to know.
package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthouse/internal/dns"
)

// The certificate usages (RFC 6698 section 2.1.1, RFC 7218).
const (
	UsageTA = 2 // the record is a trust anchor
	UsageEE = 3 // the record is the server's own certificate or key
)

// The selectors: what of a certificate is compared.
const (
	SelectCert = 0
	SelectSPKI = 1
)

// The matching types: how it is compared.
const (
	MatchFull   = 0
	MatchSHA256 = 1
	MatchSHA512 = 2
)

// Errors of Verify, for reports: which of the demands was not met. Others are
// about the certificates themselves.
var (
	ErrMatch   = errors.New("dane: no TLSA record matches the certificate")
	ErrName    = errors.New("dane: the certificate is for another name")
	ErrExpired = errors.New("dane: the certificate is expired or not valid yet")
	ErrChain   = errors.New("dane: the certificate does not lead to the trust anchor")
)

// Name is where the TLSA records of a server at a port stand (RFC 6698 section 3).
func Name(port uint16, host string) string {
	return fmt.Sprintf("_%d._tcp.%s", port, strings.TrimSuffix(host, "."))
}

// Usable are the records that can be used with SMTP: those of the usages 2 and
// 3 (RFC 7672 section 3.1.3: others are to be passed over) that are well-formed.
// Of several digests of one kind only the strongest counts (RFC 7671 section 9),
// so that a weak one cannot undercut it.
func Usable(records []dns.TLSA) []dns.TLSA {
	type kind struct{ usage, selector uint8 }
	strongest := make(map[kind]uint8)
	var list []dns.TLSA
	for _, r := range records {
		if !wellFormed(r) {
			continue
		}
		list = append(list, r)
		k := kind{r.Usage, r.Selector}
		strongest[k] = max(strongest[k], r.Matching)
	}
	n := 0
	for _, r := range list {
		if r.Matching == MatchFull || r.Matching == strongest[kind{r.Usage, r.Selector}] {
			list[n] = r
			n++
		}
	}
	return list[:n]
}

func wellFormed(r dns.TLSA) bool {
	if r.Usage != UsageTA && r.Usage != UsageEE || r.Selector > SelectSPKI {
		return false
	}
	switch r.Matching {
	case MatchSHA256:
		return len(r.Data) == sha256.Size
	case MatchSHA512:
		return len(r.Data) == sha512.Size
	case MatchFull:
		var err error
		if r.Selector == SelectCert {
			_, err = x509.ParseCertificate(r.Data)
		} else {
			_, err = x509.ParsePKIXPublicKey(r.Data)
		}
		return err == nil
	}
	return false
}

// Matches reports whether r names the certificate (RFC 6698 section 2.1).
func Matches(r dns.TLSA, cert *x509.Certificate) bool {
	data := cert.Raw
	if r.Selector == SelectSPKI {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case MatchFull:
		return bytes.Equal(data, r.Data)
	case MatchSHA256:
		sum := sha256.Sum256(data)
		return bytes.Equal(sum[:], r.Data)
	case MatchSHA512:
		sum := sha512.Sum512(data)
		return bytes.Equal(sum[:], r.Data)
	}
	return false
}

// maxChain bounds the certificates of a server that are looked at.
const maxChain = 16

// Verify is nil when one of the usable records authenticates the chain that a
// server showed, its own certificate first. names are the reference identifiers
// of RFC 7672 section 3.2.2; any one of them will do.
func Verify(records []dns.TLSA, chain []*x509.Certificate, names []string, now time.Time) error {
	if len(chain) == 0 {
		return ErrMatch
	}
	chain = chain[:min(len(chain), maxChain)]
	for _, r := range records {
		// Neither name nor dates count: the record says all (RFC 7672 section 3.1.1).
		if r.Usage == UsageEE && Matches(r, chain[0]) {
			return nil
		}
	}
	worst := ErrMatch
	for _, r := range records {
		if r.Usage != UsageTA {
			continue
		}
		for _, anchor := range anchors(r, chain) {
			err := verifyAnchor(anchor, chain, names, now)
			if err == nil {
				return nil
			}
			worst = err
		}
	}
	return worst
}

// anchors are the certificates that r makes trust anchors: of the server's chain,
// which must bring them (RFC 7672 section 3.1.2), or the record itself when it is
// a whole certificate. The server's own certificate is none (RFC 7671 section
// 5.2: the records of the usage 2 are for issuers).
func anchors(r dns.TLSA, chain []*x509.Certificate) (list []*x509.Certificate) {
	for _, c := range chain[1:] {
		if Matches(r, c) {
			list = append(list, c)
		}
	}
	if len(list) == 0 && r.Matching == MatchFull && r.Selector == SelectCert {
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// verifyAnchor is the path validation below one trust anchor, with the name
// check (RFC 7672 section 3.2.2).
func verifyAnchor(anchor *x509.Certificate, chain []*x509.Certificate, names []string, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(anchor)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if err != nil {
		if expired(err) {
			return fmt.Errorf("%w: %w", ErrExpired, err)
		}
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	for _, name := range names {
		if chain[0].VerifyHostname(name) == nil {
			return nil
		}
	}
	return ErrName
}

func expired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}
