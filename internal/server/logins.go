package server

import (
	"crypto/tls"
	"slices"

	"posthouse/internal/certs"
	"posthouse/internal/clock"
	"posthouse/internal/oidc"
	"posthouse/internal/sasl"
)

// logins is how clients log in: the same at every door.
type logins struct {
	policy sasl.Policy
	tokens *oidc.Verifier // nil: no tokens are taken
	tls    *tls.Config    // of the doors at which clients log in
}

// saslPolicy is what a protocol's doors offer.
func (s *Server) saslPolicy(protocol string) sasl.Policy {
	p := s.logins.policy
	p.HidePlus = !slices.Contains(s.cfg.Auth.AnnouncePlus, protocol)
	return p
}

// newLogins reads what the configuration says about logins.
func (s *Server) newLogins() (l logins, err error) {
	clk := clock.System{}
	l.tls = s.certs.TLS()
	l.policy.Certificate = s.certs.Leaf
	if file := s.cfg.Auth.ClientCA; file != "" {
		clients, err := certs.NewClients(file, clk)
		if err != nil {
			return l, s.cfg.Errorf("auth.client_ca", "%v", err)
		}
		l.tls, l.policy.Names = clients.Ask(l.tls), clients.Names
	}
	if o := s.cfg.Auth.OIDC; o.Issuer != "" {
		l.tokens = oidc.New(oidc.Options{Issuer: o.Issuer, Audience: o.Audience, Claim: o.Claim, Clock: clk, Log: s.log})
		l.policy.OpenID = l.tokens.Configuration()
	}
	return l, nil
}
