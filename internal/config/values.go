package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"posthouse/internal/smtp"
)

// Size is a number of bytes, written "25M", "5G" or as a plain number; K, M, G
// and T are powers of 1024, a final B is let pass.
type Size int64

// Bytes is the size as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

// ParseSize reads a size, 0 or more.
func ParseSize(s string) (Size, error) {
	bad := fmt.Errorf("%q is not a size such as \"25M\"", s)
	num := strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(s)), "B")
	shift := 0
	if num != "" {
		if i := strings.IndexByte("KMGT", num[len(num)-1]); i >= 0 {
			shift, num = 10*(i+1), num[:len(num)-1]
		}
	}
	n, err := strconv.ParseUint(num, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, bad
	}
	return Size(n << shift), nil
}

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the shortest exact spelling.
func (s Size) String() string {
	n, unit := int64(s), ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(n, 10) + unit
}

// Duration is a length of time, written "5m", "4h", "5d", "1h30m" or "2w".
type Duration struct{ time.Duration }

var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute,
	"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a length of time, 0 or more and at most ten years.
func ParseDuration(s string) (Duration, error) {
	const longest = 3660 * 24 * time.Hour
	bad := fmt.Errorf("%q is not a length of time such as \"5m\" or \"5d\"", s)
	var sum time.Duration
	rest := strings.TrimSpace(s)
	if rest == "" {
		return Duration{}, bad
	}
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return Duration{}, bad
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "mshdw"))
		unit, ok := units[rest[:letters]]
		if !ok || n > int64(longest/unit) {
			return Duration{}, bad
		}
		if sum += time.Duration(n) * unit; sum > longest {
			return Duration{}, bad
		}
		rest = rest[letters:]
	}
	return Duration{sum}, nil
}

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String spells d in the largest units that are exact.
func (d Duration) String() string {
	if d.Duration <= 0 {
		return "0s"
	}
	var b strings.Builder
	left := d.Duration
	for _, u := range []string{"d", "h", "m", "s", "ms"} {
		if n := left / units[u]; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u)
			left -= n * units[u]
		}
	}
	return b.String()
}

// Network is a network such as 10.0.0.0/8, or one address.
type Network struct{ netip.Prefix }

// UnmarshalText reads "10.0.0.0/8" or "10.0.0.1".
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if p, err := netip.ParsePrefix(s); err == nil {
		n.Prefix = p.Masked()
		return nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is not a network such as \"10.0.0.0/8\"", s)
	}
	n.Prefix = netip.PrefixFrom(a, a.BitLen())
	return nil
}

// MarshalText is the network in CIDR notation.
func (n Network) MarshalText() ([]byte, error) { return n.Prefix.MarshalText() }

// Prefixes is a list of networks as the standard library has them.
func Prefixes(list []Network) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, n := range list {
		out[i] = n.Prefix
	}
	return out
}

// Relay is the host a route goes over.
type Relay struct {
	TLS      bool // implicit TLS (smtps)
	Host     string
	Port     int
	User     string // "" is no login
	Password string
}

// Address is "host:port".
func (r Relay) Address() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// UnmarshalText reads smtp://[user:password@]host[:port] or smtps://…. Errors
// do not repeat the text: it may hold a password.
func (r *Relay) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil {
		return errors.New("not a URL such as \"smtp://host:25\"")
	}
	port := map[string]int{"smtp": 25, "smtps": 465}[u.Scheme]
	switch {
	case port == 0:
		return fmt.Errorf("scheme %q, want smtp or smtps", u.Scheme)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return errors.New("a route has no path, query or fragment")
	case !validHost(u.Hostname()):
		return fmt.Errorf("%q is not a host", u.Hostname())
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return fmt.Errorf("%q is not a port", p)
		}
	}
	*r = Relay{TLS: u.Scheme == "smtps", Host: u.Hostname(), Port: port}
	if u.User != nil {
		r.User = u.User.Username()
		r.Password, _ = u.User.Password()
		if r.User == "" || r.Password == "" {
			return errors.New("a login needs both user and password")
		}
	}
	return nil
}

// MarshalText is the URL, with its password.
func (r Relay) MarshalText() ([]byte, error) { return []byte(r.url().String()), nil }

// String is the URL without its password, for logs.
func (r Relay) String() string { return r.url().Redacted() }

func (r Relay) url() *url.URL {
	u := &url.URL{Scheme: "smtp", Host: r.Address()}
	if r.TLS {
		u.Scheme = "smtps"
	}
	if r.User != "" {
		u.User = url.UserPassword(r.User, r.Password)
	}
	return u
}

// validHost reports whether s is a domain name or an IP address.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return smtp.ValidDomain(s)
}
