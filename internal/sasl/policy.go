package sasl

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// Policy is what the doors offer beyond passwords. The zero Policy offers
// passwords only, with channel binding by tls-exporter.
type Policy struct {
	// Certificate is the one that the house shows; nil: tls-server-end-point
	// cannot be used.
	Certificate func() *x509.Certificate
	// Names are the mail addresses for which the client certificate of a
	// connection speaks, none for one that is not to be trusted; nil: EXTERNAL
	// is not offered.
	Names func(*tls.ConnectionState) []string
	// OpenID is the URL of the configuration of the issuer whose tokens are taken
	// (RFC 7628 section 3.2.2); "": OAUTHBEARER and XOAUTH2 are not offered.
	OpenID string
	// HidePlus leaves channel binding out of the list. It can be used all the same.
	// Clients on GNU SASL, mutt and neomutt among them, pick it whenever they see
	// it, cannot bind, and over SMTP and POP3 then give up altogether.
	HidePlus bool
}

// Mechanisms lists what to offer on a connection on which logins are allowed,
// the best first. state is nil without TLS.
func (p *Policy) Mechanisms(state *tls.ConnectionState) []string {
	var list []string
	if len(p.names(state)) > 0 {
		list = append(list, External)
	}
	if !p.HidePlus && p.bindable(state) {
		list = append(list, ScramSHA256Plus, ScramSHA1Plus)
	}
	list = append(list, ScramSHA256, ScramSHA1)
	if p.OpenID != "" {
		list = append(list, OAuthBearer, XOAuth2)
	}
	return append(list, Plain, Login)
}

// Begin begins an exchange on a connection on which logins are allowed.
// ErrMechanism when the mechanism is unknown or cannot be used on it. ctx is for
// the Authenticator.
func (p *Policy) Begin(ctx context.Context, mech string, auth Authenticator, state *tls.ConnectionState) (Server, error) {
	mech = strings.ToUpper(mech)
	known := p.Mechanisms(state)
	if p.HidePlus && p.bindable(state) {
		known = append(known, ScramSHA256Plus, ScramSHA1Plus)
	}
	if !slices.Contains(known, mech) {
		return nil, ErrMechanism
	}
	switch mech {
	case Plain:
		return &plainServer{auth: auth, ctx: ctx}, nil
	case Login:
		return &loginServer{auth: auth, ctx: ctx}, nil
	case External:
		return &externalServer{auth: auth, ctx: ctx, names: p.names(state)}, nil
	case OAuthBearer:
		return &bearerServer{auth: auth, ctx: ctx, parse: parseOAuthBearer, refusal: oauthRefusal(p.OpenID)}, nil
	case XOAuth2:
		return &bearerServer{auth: auth, ctx: ctx, parse: parseXOAuth2, refusal: xoauth2Refusal}, nil
	}
	hash := crypto.SHA256
	if mech == ScramSHA1 || mech == ScramSHA1Plus {
		hash = crypto.SHA1
	}
	return &scramServer{
		auth: auth, ctx: ctx, hash: hash, plus: strings.HasSuffix(mech, "-PLUS"),
		state: state, policy: p,
	}, nil
}

func (p *Policy) names(state *tls.ConnectionState) []string {
	if p.Names == nil || state == nil {
		return nil
	}
	return p.Names(state)
}
