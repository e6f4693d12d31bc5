package smtp

import "strings"

// DomainPattern chooses domains in the configuration: a domain, "*.domain" for
// all domains below it and not itself, or "*".
type DomainPattern string

// ParseDomainPattern reads a pattern and makes its domain canonical.
func ParseDomainPattern(s string) (DomainPattern, bool) {
	base := strings.TrimPrefix(s, "*.")
	if s == "*" {
		return "*", true
	}
	if !ValidDomain(base) && !strings.HasPrefix(base, "[") {
		return "", false
	}
	return DomainPattern(s[:len(s)-len(base)] + CanonicalDomain(base)), true
}

// Matches reports whether the pattern is for a canonical domain.
func (p DomainPattern) Matches(domain string) bool {
	if p == "*" || string(p) == domain {
		return true
	}
	suffix, wild := strings.CutPrefix(string(p), "*")
	return wild && strings.HasSuffix(domain, suffix) && len(domain) > len(suffix)
}
