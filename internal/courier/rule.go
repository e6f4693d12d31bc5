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
	r := RouteRule{match: pattern}
	u, err := url.Parse(via)
	if err != nil || u.Host == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return RouteRule{}, fmt.Errorf("%w: via is not smtp://[user:password@]host[:port]", ErrRule)
	}
	r.via = relay{host: strings.ToLower(u.Hostname()), port: DefaultPort, implicitTLS: u.Scheme == "smtps"}
	if u.User != nil {
		r.via.user = u.User.Username()
		r.via.pass, _ = u.User.Password()
		r.via.port = 587
	}
	if r.via.implicitTLS {
		r.via.port = 465
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return RouteRule{}, fmt.Errorf("%w: port %q", ErrRule, p)
		}
		r.via.port = uint16(n)
	}
	return r, nil
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
