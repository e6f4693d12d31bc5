package courier

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"posthouse/internal/smtp"
)

// ErrRule means that a configured route cannot be read; wrapped with the reason.
var ErrRule = errors.New("courier: bad route")

// RouteRule sends mail for some domains to a given server.
type RouteRule struct {
	match smtp.DomainPattern
	via   relay
}

// relay is a server that mail is handed to whatever its domain.
type relay struct {
	host        string
	port        uint16
	implicitTLS bool // smtps:
	user, pass  string
}

// ParseRule reads a route of the configuration: match is a domain, "*.domain"
// (which does not match the domain itself) or "*"; via is
// "smtp://[user:password@]host[:port]" or the same with "smtps:". The default
// port is 25, with a user 587, for smtps 465.
func ParseRule(match, via string) (RouteRule, error) {
	pattern, ok := smtp.ParseDomainPattern(match)
	if !ok {
		return RouteRule{}, fmt.Errorf("%w: match %q is neither a domain, \"*.domain\" nor \"*\"", ErrRule, match)
	}
	relay, err := parseRelay(via)
	if err != nil {
		return RouteRule{}, fmt.Errorf("%w: %w", ErrRule, err)
	}
	return RouteRule{match: pattern, via: relay}, nil
}

// CheckVia tells why via is not the URL of a relay, as ParseRule takes it; nil if
// it is. The error does not repeat the URL: it may hold a password.
func CheckVia(via string) error {
	_, err := parseRelay(via)
	return err
}

func parseRelay(via string) (relay, error) {
	u, err := url.Parse(via)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Opaque != "" {
		return relay{}, errors.New("it is not smtp://[user:password@]host[:port]")
	}
	v := relay{host: strings.ToLower(u.Hostname()), port: DefaultPort, implicitTLS: u.Scheme == "smtps"}
	_, notAddr := netip.ParseAddr(v.host)
	switch {
	case notAddr != nil && !smtp.ValidDomain(v.host):
		return relay{}, fmt.Errorf("%q is not a host", v.host)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return relay{}, errors.New("it has a path, a query or a fragment")
	}
	if u.User != nil {
		v.user = u.User.Username()
		v.pass, _ = u.User.Password()
		v.port = 587
		if v.user == "" || v.pass == "" {
			return relay{}, errors.New("a login needs both user and password")
		}
	}
	if v.implicitTLS {
		v.port = 465
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return relay{}, fmt.Errorf("%q is not a port", p)
		}
		v.port = uint16(n)
	}
	return v, nil
}

// name is the relay's site: two users of one server are two sites.
func (v *relay) name() string {
	scheme := "smtp"
	if v.implicitTLS {
		scheme = "smtps"
	}
	if v.user != "" {
		return fmt.Sprintf("%s://%s@%s:%d", scheme, v.user, v.host, v.port)
	}
	return fmt.Sprintf("%s://%s:%d", scheme, v.host, v.port)
}

// loopback reports whether the relay is on this machine, by address.
func (v *relay) loopback() bool {
	addr, err := netip.ParseAddr(v.host)
	return v.host == "localhost" || err == nil && addr.IsLoopback()
}
