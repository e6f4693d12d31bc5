package dns

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalName is name as the DNS is asked for it: A-labels (RFC 5891), lower
// case, without the final dot. A name that cannot be in the DNS is an error that
// wraps ErrNotFound.
func CanonicalName(name string) (string, error) {
	n := strings.TrimSuffix(name, ".")
	if !isASCII(n) {
		// Underscores stand in names such as _dmarc, so the rules of host names
		// (RFC 1123) do not apply.
		p := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
		a, err := p.ToASCII(n)
		if err != nil {
			return "", fmt.Errorf("%w: name %q: %w", ErrNotFound, name, err)
		}
		n = strings.TrimSuffix(a, ".")
	}
	n = strings.ToLower(n)
	if !validName(n) {
		return "", fmt.Errorf("%w: %q is not a domain name", ErrNotFound, name)
	}
	return n, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// validName checks the lengths of RFC 1035 section 2.3.4 and keeps out what
// would need quoting.
func validName(n string) bool {
	if n == "" || len(n) > 253 {
		return false
	}
	for label := range strings.SplitSeq(n, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`\"();@$`, c) >= 0 {
				return false
			}
		}
	}
	return true
}

// hostFromWire is the name of a record in the form of CanonicalName; "" is the
// root.
func hostFromWire(n string) (host string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(n, "."))
	return host, host == "" || validName(host)
}

// unescape undoes the presentation form (RFC 1035 section 5.1) that the DNS
// library gives character strings: \X and \DDD.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if n, ok := decimal(s[i+1:]); ok {
			b = append(b, n)
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}

// decimal reads three digits.
func decimal(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for i := range 3 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return byte(n), n < 256
}
