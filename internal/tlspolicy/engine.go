package tlspolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/dane"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/status"
)

// STS knows the MTA-STS policies of domains.
type STS interface {
	// Policy is a domain's policy, nil when it has none; a Problem is what kept
	// it from being found.
	Policy(ctx context.Context, domain string) (*mtasts.Policy, *Problem)
}

// Options of an Engine. Resolver is needed.
type Options struct {
	Resolver dns.Resolver
	Rules    []Rule // the first match wins; no match is Auto
	STS      STS    // nil: no MTA-STS
}

// Engine decides. Safe for concurrent use.
type Engine struct {
	opt   Options
	rules atomic.Pointer[[]Rule]
}

// New makes an engine.
func New(opt Options) *Engine {
	e := &Engine{opt: opt}
	e.SetRules(opt.Rules)
	return e
}

// SetRules decides by other rules from now on.
func (e *Engine) SetRules(rules []Rule) { e.rules.Store(&rules) }

// Query is a next-hop domain with its hosts, as DNS told them.
type Query struct {
	Domain string // canonical
	CNAME  string // its canonical name, when it is an alias
	Port   uint16 // that will be called
	// Relay: the host is from our configuration, and no MX of the domain's.
	Relay bool
	// Implicit: the domain has no MX and is its own host.
	Implicit bool
	// Secure: the answer about MX records was authenticated, be it that there
	// are none (RFC 7672 section 2.2.1). A relay is as sure as our configuration.
	Secure bool
	Hosts  []QueryHost
}

// QueryHost is one host.
type QueryHost struct {
	Name   string
	CNAME  string // its canonical name, when it is an alias
	Secure bool   // its addresses were authenticated, over all aliases
}

// atOnce bounds the look-ups of one Decide.
const atOnce = 8

// Decide gives the policy for each host.
func (e *Engine) Decide(ctx context.Context, q *Query) []Policy {
	level, source := e.rule(q.Domain)
	list := make([]Policy, len(q.Hosts))
	turn := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range q.Hosts {
		list[i] = basic(level, source, q, &q.Hosts[i])
		if level == Auto || level == DANE || level == DANEOnly {
			turn <- struct{}{}
			wg.Go(func() {
				defer func() { <-turn }()
				e.dane(ctx, &list[i], q, &q.Hosts[i])
			})
		}
	}
	var sts *mtasts.Policy
	var problem *Problem
	if e.opt.STS != nil && !q.Relay && level != None && !strings.HasPrefix(q.Domain, "[") {
		// Asked also where DANE or a rule decides: for REQUIRETLS.
		sts, problem = e.opt.STS.Policy(ctx, q.Domain)
	}
	wg.Wait()
	for i := range list {
		p := &list[i]
		p.STS, p.Problem = sts, problem
		p.settle(level, source)
	}
	return list
}

// rule is what the configuration says of a domain.
func (e *Engine) rule(domain string) (Level, string) {
	for _, r := range *e.rules.Load() {
		if r.match.Matches(domain) && r.level != Auto {
			return r.level, SourceConfigured
		} else if r.match.Matches(domain) {
			break
		}
	}
	return Auto, SourceOpportunistic
}

// basic is a policy before DNS has been asked.
func basic(level Level, source string, q *Query, h *QueryHost) Policy {
	p := Policy{
		Source: source, Level: level, Domain: q.Domain, Host: h.Name, Base: h.Name,
		Authentic: q.Secure || q.Relay || q.Implicit,
	}
	switch level {
	case Verify:
		p.Names = []string{h.Name}
	case Secure:
		p.Names = []string{q.Domain}
	}
	return p
}

// dane looks for TLSA records of a host, if all that led to it was authenticated
// (RFC 7672 section 2.2): it sets the level DANE, or Err, or leaves p as it is.
func (e *Engine) dane(ctx context.Context, p *Policy, q *Query, h *QueryHost) {
	if !q.Secure && !q.Relay {
		return
	}
	list, err := e.bases(ctx, h)
	if err != nil {
		p.unanswered(err, "Whether the alias "+h.Name+" is authenticated could not be looked up")
		return
	}
	for _, base := range list {
		records, answer, err := e.opt.Resolver.LookupTLSA(ctx, dane.Name(q.Port, base))
		switch {
		case errors.Is(err, dns.ErrNotFound):
			continue
		case err != nil:
			p.unanswered(err, "The TLSA records of "+base+" could not be looked up")
			return
		case !answer.Authenticated:
			continue
		}
		p.Source, p.Level, p.Base = SourceDANE, DANE, base
		p.TLSA = dane.Usable(records)
		// RFC 7672 section 3.2.2: the base domain, the host's other name, the
		// next-hop domain, under both its names when it is an alias.
		p.Names = []string{base, h.Name, q.Domain}
		if q.CNAME != "" {
			p.Names = append(p.Names, q.CNAME)
		}
		return
	}
}

// unanswered is for a question of DANE that has got no answer. It may be an
// attack: the host must not be used without (RFC 7672 section 2.1.2).
func (p *Policy) unanswered(err error, text string) {
	p.Source, p.ErrType = SourceDANE, DNSSECInvalid
	p.Err = status.Wrap(err, 451, 7, 5, text)
}

// bases are the names at which TLSA records may stand, best first (RFC 7672 section
// 2.2.2): of an alias the canonical name, when all of the way to it is
// authenticated, then the alias itself; of one that leads to where nothing is
// authenticated only the alias, if it is so itself, which takes a question of its
// own. Where nothing is authenticated nobody is asked: many servers there do not
// know of TLSA.
func (e *Engine) bases(ctx context.Context, h *QueryHost) ([]string, error) {
	switch {
	case h.Secure && h.CNAME != "":
		return []string{h.CNAME, h.Name}, nil
	case h.Secure:
		return []string{h.Name}, nil
	case h.CNAME == "":
		return nil, nil
	}
	_, answer, err := e.opt.Resolver.LookupCNAME(ctx, h.Name)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return nil, nil // an alias no more
	case err != nil:
		return nil, err
	case !answer.Authenticated:
		return nil, nil
	}
	return []string{h.Name}, nil
}

// settle makes of a level that depends on what a domain publishes one that does
// not. DANE goes before MTA-STS (RFC 8461 section 2).
func (p *Policy) settle(level Level, source string) {
	if p.STS != nil && p.STS.Mode != mtasts.None && p.STS.Allows(p.Host) {
		p.Authentic = true // RFC 8689 section 4.2.1
	}
	if p.Source == SourceDANE && (p.Err != nil || level != DANEOnly || len(p.TLSA) > 0) {
		return
	}
	switch level {
	case DANEOnly:
		p.ErrType = DANERequired
		p.Err = status.New(451, 7, 5, fmt.Sprintf("The configuration asks for DANE, and %s has no TLSA records that are authenticated and can be used", p.Host))
	case DANE:
		p.Level = May
	case Auto:
		p.Level = May
		if p.STS != nil && p.STS.Mode != mtasts.None {
			p.applySTS()
		}
	}
}

// applySTS is RFC 8461 section 4 and 5. A policy that is only being tested does
// not change the level.
func (p *Policy) applySTS() {
	if p.STS.Mode == mtasts.Testing {
		return
	}
	p.Source, p.Level, p.Names = SourceMTASTS, Verify, []string{p.Host}
	if !p.STS.Allows(p.Host) {
		p.ErrType = ValidationFailure
		p.Err = status.New(451, 7, 5, "The MTA-STS policy of "+p.Domain+" does not name the mail host "+p.Host)
	}
}
