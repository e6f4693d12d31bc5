package smtp

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// profile is the one IDNA profile of the house (RFC 5891, UTS 46 without the
// transitional mapping).
var profile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.StrictDomainName(true),
)

// maxUnicode is what is looked at of a name in U-labels, in bytes: what fits into
// MaxDomain as A-labels is no longer. The work on a label grows with the square of it.
const maxUnicode = 4 * MaxDomain

var errLongDomain = errors.New("smtp: a domain that is too long")

// ToASCII gives a domain in A-labels and lower case. A name that cannot be one
// is an error.
func ToASCII(domain string) (string, error) {
	if isASCII(domain) {
		return strings.ToLower(domain), nil
	}
	if len(domain) > maxUnicode {
		return "", errLongDomain
	}
	return profile.ToASCII(domain)
}

// ToUnicode gives a domain in U-labels, for people to read; what cannot be
// converted stays as it is.
func ToUnicode(domain string) string {
	if len(domain) > maxUnicode {
		return domain
	}
	u, err := profile.ToUnicode(domain)
	if err != nil {
		return domain
	}
	return u
}

// CanonicalDomain is the spelling under which domains are compared: A-labels in
// lower case; an address literal with the address in its usual form.
func CanonicalDomain(domain string) string {
	if strings.HasPrefix(domain, "[") {
		addr, ok := ParseLiteral(domain)
		switch {
		case !ok:
			return strings.ToLower(domain)
		case addr.Is4():
			return "[" + addr.String() + "]"
		}
		return "[ipv6:" + addr.String() + "]"
	}
	a, err := ToASCII(domain)
	if err != nil {
		return strings.ToLower(domain)
	}
	return a
}

// ValidDomain reports whether s is a domain name as mail uses it: labels of
// letters, digits and hyphens, in A- or U-labels (RFC 5321 section 2.3.5, RFC
// 6531 section 3.3). An underscore is let pass, as DNS does and peers do.
func ValidDomain(s string) bool {
	if !isASCII(s) {
		if !utf8.ValidString(s) {
			return false
		}
		a, err := ToASCII(s)
		if err != nil {
			return false
		}
		s = a
	}
	if s == "" || len(s) > MaxDomain {
		return false
	}
	label := 0 // where the label began
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
				return false
			}
			continue
		}
		n := i - label
		if n == 0 || n > 63 || s[label] == '-' || s[i-1] == '-' {
			return false
		}
		label = i + 1
	}
	return true
}

// ValidHelo reports whether s may stand after HELO, EHLO or LHLO: a domain name
// or an address literal (RFC 5321 section 4.1.4). What real clients send and
// nobody is hurt by passes as well: a final dot, a literal with a zone or
// without its tag, a bare address.
func ValidHelo(s string) bool {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		if _, ok := ParseLiteral(s); ok {
			return true
		}
		s = s[1 : len(s)-1]
		if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
			s = s[5:]
		}
		addr, err := netip.ParseAddr(s)
		return err == nil && validZone(addr.Zone())
	}
	if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "%") {
		return true
	}
	return ValidDomain(strings.TrimSuffix(s, "."))
}

// validZone reports whether an IPv6 zone is made of letters, digits and the like
// only, so that it is safe in a header.
func validZone(zone string) bool {
	for i := 0; i < len(zone); i++ {
		if !isAlnum(zone[i]) && strings.IndexByte("-_.", zone[i]) < 0 {
			return false
		}
	}
	return true
}

// isDomainByte is what may be part of a domain; ValidDomain has the last word.
func isDomainByte(c byte) bool {
	return isAlnum(c) || c == '-' || c == '_' || c == '.' || c >= utf8.RuneSelf
}
