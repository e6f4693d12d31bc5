package shaping

import (
	"fmt"
	"slices"
	"strings"

	"posthouse/internal/smtp"
)

// Limit is how much goes at once, and how fast, to what it matches. Zero fields
// are no limit. What is counted is everything that it matches, for each source
// on its own; with EachSite it is each site on its own as well.
type Limit struct {
	// Match are patterns, comma-separated: a domain of recipients, "*.domain" for
	// the sites all of whose mail hosts are below it, or "*" for every site.
	Match    string
	Source   string // only mail that leaves from this source; "" all
	EachSite bool   // "*" always counts each site

	Connections           int  // open at once, those that are kept idle included
	MessagesPerConnection int  // before a new one
	MessageRate           Rate // transactions begun
	ConnectionRate        Rate // connections begun

	domains  []string
	suffixes []string // with the dot before; "" is every host
}

// Parse makes a limit ready for use; errors tell which pattern is none.
func (l Limit) Parse() (Limit, error) {
	l.domains, l.suffixes = nil, nil
	for p := range strings.SplitSeq(l.Match, ",") {
		p = strings.TrimSpace(p)
		base, wild := strings.CutPrefix(p, "*.")
		switch {
		case p == "*":
			l.suffixes, l.EachSite = append(l.suffixes, ""), true
		case !smtp.ValidDomain(base):
			return l, fmt.Errorf("%q is neither a domain, \"*.domain\" nor \"*\"", p)
		case wild:
			l.suffixes = append(l.suffixes, "."+smtp.CanonicalDomain(base))
		default:
			l.domains = append(l.domains, smtp.CanonicalDomain(base))
		}
	}
	slices.Sort(l.domains)
	slices.Sort(l.suffixes)
	return l, nil
}

// Scope is what of a limit applies.
type Scope int

// The scopes.
const (
	None   Scope = iota
	Domain       // the domain of the recipients is named
	Site         // the mail hosts are
)

// Applies tells whether and why a limit is for mail to a canonical domain at
// these hosts from a source.
func (l *Limit) Applies(source, domain string, hosts []string) Scope {
	if l.Source != "" && l.Source != source {
		return None
	}
	if slices.Contains(l.domains, domain) {
		return Domain
	}
	for _, h := range hosts {
		under := func(suffix string) bool {
			return strings.HasSuffix("."+strings.ToLower(strings.TrimSuffix(h, ".")), suffix)
		}
		if !slices.ContainsFunc(l.suffixes, under) {
			return None
		}
	}
	if len(hosts) == 0 || len(l.suffixes) == 0 {
		return None
	}
	return Site
}

// NamesDomain reports whether the limit is for a domain by name, from whatever source.
func (l *Limit) NamesDomain(domain string) bool { return slices.Contains(l.domains, domain) }

// same reports whether two limits are for the same mail.
func (l *Limit) same(other *Limit) bool {
	return slices.Equal(l.domains, other.domains) && slices.Equal(l.suffixes, other.suffixes)
}

// Limits are the configured limits and, after them, those of known providers; one
// that is configured for the same patterns is in the place of the known one.
func Limits(configured []Limit) ([]Limit, error) {
	var list []Limit
	for _, l := range configured {
		l, err := l.Parse()
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	for _, l := range providers() {
		l, err := l.Parse()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list[:len(configured)], func(c Limit) bool { return c.same(&l) }) {
			list = append(list, l)
		}
	}
	return list, nil
}
