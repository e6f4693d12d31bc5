package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"posthouse/internal/mailauth/mtasts"
)

// fetch gets a domain's policy from its server (RFC 8461 section 3.3).
func (c *STSCache) fetch(ctx context.Context, domain string) (*mtasts.Policy, *Problem) {
	select {
	case c.fetching <- struct{}{}:
		defer func() { <-c.fetching }()
	case <-ctx.Done():
		return nil, &Problem{STSFetchError, "stopped on this side"}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+mtasts.Host(domain)+mtasts.Path, nil)
	if err != nil {
		return nil, &Problem{STSFetchError, err.Error()}
	}
	r.Header.Set("User-Agent", "Posthouse")
	resp, err := c.opt.Client.Do(r)
	if err != nil {
		return nil, fetchProblem(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK { // also of redirects
		return nil, &Problem{STSFetchError, "the policy server answers " + resp.Status}
	}
	// A server that lets strangers upload files must not serve them as policies
	// (RFC 8461 section 3.2).
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return nil, &Problem{STSFetchError, fmt.Sprintf("the policy is of the type %.50q", resp.Header.Get("Content-Type"))}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, mtasts.MaxPolicy+1))
	if err != nil {
		return nil, fetchProblem(err)
	}
	p, err := mtasts.ParsePolicy(text)
	if err != nil {
		return nil, &Problem{STSInvalid, err.Error()}
	}
	return p, nil
}

// fetchProblem tells a bad certificate from other failures (RFC 8460 section
// 4.3.2.2).
func fetchProblem(err error) *Problem {
	var verification *tls.CertificateVerificationError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &verification) || errors.As(err, &host) || errors.As(err, &authority) || errors.As(err, &invalid) {
		return &Problem{STSWebPKIInvalid, err.Error()}
	}
	return &Problem{STSFetchError, err.Error()}
}
