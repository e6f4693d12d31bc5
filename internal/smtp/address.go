// Package smtp is what smtpd and the courier share: addresses and paths,
// replies, and the grammar of commands (RFC 5321).
package smtp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of RFC 5321 section 4.5.3.1, in octets.
const (
	MaxLocal  = 64
	MaxDomain = 255
	MaxPath   = 256 // with the angle brackets
)

// Errors of the address parsers; they come wrapped with the reason.
var (
	ErrAddress   = errors.New("smtp: not a mail address")
	ErrTooLong   = errors.New("smtp: address too long")
	ErrNeedsUTF8 = errors.New("smtp: address needs SMTPUTF8") // RFC 6531 section 3.5
)

// Address is a mailbox of RFC 5321 section 4.1.2. The zero value stands for the
// null reverse-path "<>".
type Address struct {
	Local  string // unquoted local part, as given
	Domain string // as given: A-labels, U-labels or an address literal with its brackets
}

// IsZero reports whether this is the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }

// ParseAddress parses a bare address such as "alice@example.org", within the
// limits above. Errors wrap ErrAddress or ErrTooLong.
func ParseAddress(s string) (Address, error) {
	return parseWhole(s, MaxLocal)
}

func parseWhole(s string, maxLocal int) (Address, error) {
	p := pathParser{in: s, utf8: true, maxLocal: maxLocal}
	a, err := p.mailbox()
	if err != nil {
		return Address{}, err
	}
	if p.pos != len(s) {
		return Address{}, fmt.Errorf("%w: unexpected %q", ErrAddress, s[p.pos:])
	}
	return a, nil
}

// String is the address as in a path or header: the local part quoted when it
// must be. The null path is "", an address without a domain its local part
// alone, one without a local part "@domain".
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	local := a.Local
	if local != "" && !isDotString(local) {
		local = quoteLocal(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Path is the address in angle brackets, as MAIL and RCPT carry it.
func (a Address) Path() string { return "<" + a.String() + ">" }

// Key is equal for two addresses exactly when they are the same mailbox to us:
// the local part composed (NFC) and in lower case, the domain as A-labels in
// lower case.
func (a Address) Key() string {
	local := strings.ToLower(a.Local)
	if !isASCII(local) {
		local = norm.NFC.String(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + CanonicalDomain(a.Domain)
}

// IsASCII reports whether the address can be used without SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// WithALabels is the address with its domain as A-labels where that saves from
// needing SMTPUTF8 (RFC 6531 section 3.2); any other stays as it is.
func (a Address) WithALabels() Address {
	if isASCII(a.Local) && !isASCII(a.Domain) {
		if domain, err := ToASCII(a.Domain); err == nil {
			a.Domain = domain
		}
	}
	return a
}

// MarshalText is String, so that addresses in JSON read "a@b".
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText undoes MarshalText: beside addresses it takes "", "@domain" and
// "postmaster".
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case s == "":
		*a = Address{}
		return nil
	case strings.EqualFold(s, "postmaster"):
		*a = Address{Local: s}
		return nil
	case s[0] == '@':
		p := pathParser{in: s, pos: 1, utf8: true}
		domain, err := p.domain()
		if err != nil {
			return err
		}
		if p.pos != len(s) {
			return fmt.Errorf("%w: unexpected %q", ErrAddress, s[p.pos:])
		}
		*a = Address{Domain: domain}
		return nil
	}
	// What came in as a reverse-path must come back (see ParseReversePath).
	parsed, err := parseWhole(s, MaxPath)
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// isDotString reports whether s may stand unquoted (RFC 5321 section 4.1.2).
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && s[i-1] == '.' {
			return false
		}
		if s[i] != '.' && !isAtext(s[i]) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func quoteLocal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// isAtext is atext of RFC 5322 section 3.2.3, with UTF-8 (RFC 6531 section 3.3).
func isAtext(c byte) bool {
	return isAlnum(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
