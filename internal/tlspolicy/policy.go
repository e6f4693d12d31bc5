// Package tlspolicy decides what a mail host must show before it is given mail:
// DANE (RFC 7672) before MTA-STS (RFC 8461) before whatever TLS there is, unless
// the configuration says otherwise. It looks up and keeps what that takes; the
// courier obeys.
package tlspolicy

import (
	"errors"
	"fmt"
	"slices"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Level is how much is asked of a host, under Postfix's names.
type Level string

// The levels. Auto and DANE become others once it is known what a domain
// publishes.
const (
	Auto     Level = "auto"      // DANE, or else MTA-STS, or else May
	None     Level = "none"      // no TLS
	May      Level = "may"       // TLS where it is offered, from anybody, or else in clear
	Encrypt  Level = "encrypt"   // TLS, from anybody
	Verify   Level = "verify"    // TLS, and a trusted certificate for the host's name
	Secure   Level = "secure"    // TLS, and a trusted certificate for the recipients' domain or a name in it
	DANE     Level = "dane"      // DANE, or else May
	DANEOnly Level = "dane-only" // DANE, or no delivery
)

// Levels are those a rule can have.
var levels = []Level{Auto, None, May, Encrypt, Verify, Secure, DANE, DANEOnly}

// Where a policy comes from.
const (
	SourceDANE          = "dane"
	SourceMTASTS        = "mta-sts"
	SourceOpportunistic = "opportunistic" // nobody asks for anything
	SourceConfigured    = "configured"
	SourceLogin         = "login"      // a relay that gets our password
	SourceRequired      = "requiretls" // the sender of the message (RFC 8689)
)

// ErrRule means that a rule cannot be read; wrapped with the reason.
var ErrRule = errors.New("tlspolicy: bad rule")

// Rule is what the configuration asks of some domains' hosts.
type Rule struct {
	match smtp.DomainPattern
	level Level
}

// ParseRule reads a rule: match is a domain, "*.domain" or "*"; policy is a level.
func ParseRule(match, policy string) (Rule, error) {
	p, ok := smtp.ParseDomainPattern(match)
	if !ok {
		return Rule{}, fmt.Errorf("%w: match %q is neither a domain, \"*.domain\" nor \"*\"", ErrRule, match)
	}
	if !slices.Contains(levels, Level(policy)) {
		return Rule{}, fmt.Errorf("%w: policy %q is none of %v", ErrRule, policy, levels)
	}
	return Rule{match: p, level: Level(policy)}, nil
}

// Policy is what is asked of one host for one next-hop domain. It is immutable.
// The zero value asks for nothing, like May.
type Policy struct {
	Source string // one of the Source constants
	Level  Level  // None, May, Encrypt, Verify, Secure or DANE
	Domain string // the next-hop domain, of the recipients or a relay's host
	Host   string // the host's name
	Base   string // the name sent in SNI; for DANE the TLSA base domain
	// Names are the names a certificate may have; with Secure also names in them.
	Names []string
	// TLSA are the usable records; none at the level DANE means that there are
	// records but none that can be used: TLS must be had, from anybody.
	TLSA []dns.TLSA
	STS  *mtasts.Policy // the domain's MTA-STS policy, also when it asks for nothing here
	// Problem is what went wrong in looking for the policy, for reports; it does
	// not keep mail back.
	Problem *Problem
	// Err is why the host must not be called for now.
	Err *status.Error
	// ErrType is Err in the words of reports.
	ErrType ResultType
	// Authentic: the host's name is known for certain to be the domain's (RFC
	// 8689 section 2).
	Authentic bool
	// Uncounted: what comes of it says nothing of the domain's policy.
	Uncounted bool
}

// Strict reports whether a session in clear is not enough.
func (p *Policy) Strict() bool { return p.Level != May && p.Level != None && p.Level != "" }

// Authenticated reports whether the server must prove who it is.
func (p *Policy) Authenticated() bool {
	return p.Level == Verify || p.Level == Secure || p.Level == DANE && len(p.TLSA) > 0
}

// Name is the policy in a word, for logs and people.
func (p *Policy) Name() string {
	switch p.Source {
	case "":
		return SourceOpportunistic
	case SourceConfigured:
		return string(p.Level)
	}
	return p.Source
}

// Required is p for a message that must travel under TLS with a verified server
// (RFC 8689 section 4.2.1).
func (p *Policy) Required() *Policy {
	if p.Err != nil || p.Authenticated() {
		return p
	}
	r := *p
	r.Source, r.Level, r.Names, r.Uncounted = SourceRequired, Verify, []string{p.Host}, true
	return &r
}

// Relaxed is p for a message whose sender asks to ignore the policies of
// recipients (TLS-Required: No, RFC 8689 section 3): TLS where there is any. What
// the operator asks for stands.
func (p *Policy) Relaxed() *Policy {
	r := *p
	r.Uncounted = true
	if p.Source != SourceDANE && p.Source != SourceMTASTS {
		return &r
	}
	r.Source, r.Level, r.Err, r.ErrType, r.TLSA = SourceOpportunistic, May, nil, "", nil
	return &r
}

// Site tells apart the sites of one set of hosts for which different things are
// asked, so that a connection is used again only where it would do: "" where
// nothing is asked.
func Site(policies []Policy) string {
	for i := range policies {
		p := &policies[i]
		switch {
		case p.Err == nil && !p.Strict() && p.Level != None:
			continue
		case p.Source == SourceConfigured:
			return string(p.Level) + " " + p.Domain
		case p.Source == SourceDANE:
			// A trust anchor's certificates may be in the domain's name.
			return "dane " + p.Domain
		}
		return p.Source
	}
	return ""
}
