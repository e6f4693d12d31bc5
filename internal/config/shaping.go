package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"posthouse/internal/shaping"
	"posthouse/internal/smtp"
)

// Source is one [[outbound.source]]: an address that mail leaves from. Mail that
// none suits leaves as the system chooses.
type Source struct {
	// Name is what limits and the queue's listings call it.
	Name string `toml:"name"`
	// Address is a list of local addresses to call from, at most one IPv4 and one
	// IPv6; hosts of a family that is not there are not called.
	Address []string `toml:"address"`
	// Helo is the name said in EHLO; it should lead to the address and back.
	// Default: the host name.
	Helo string `toml:"helo"`
	// Domains are those of senders whose mail leaves here: "example.org",
	// "*.example.org" for all below it, or "*". Default: any, if no other source
	// names the sender's.
	Domains []string `toml:"domains"`
	// Streams are the kinds of mail that leave here: "person", "transactional",
	// "bulk". Default: any, if no other source names the kind.
	Streams []string `toml:"streams"`
	// Weight is its share of the mail that several sources suit. Default: 1.
	Weight int `toml:"weight"`
}

// Limit is one [[outbound.limit]]: how much goes at once, and how fast. All limits
// that match hold. What it matches is counted together, for each source on its own.
type Limit struct {
	// Match are patterns, comma-separated: a domain of recipients, "*.domain" for
	// destinations all of whose mail hosts are below it, or "*" for every
	// destination. The limits of known providers give way to one with the same
	// patterns.
	Match string `toml:"match"`
	// Source is the name of the source whose mail is limited. Default: each.
	Source string `toml:"source"`
	// EachSite counts each destination on its own, as "*" always does. Default: false.
	EachSite bool `toml:"each_site"`
	// Connections is how many may be open. Default: no limit but those above.
	Connections int `toml:"connections"`
	// MessagesPerConnection is how many messages go over one. Default: 1000.
	MessagesPerConnection int `toml:"messages_per_connection"`
	// MessageRate is how many transactions may begin: "10/s", "100/m", "500/h",
	// "5000/d". Default: no limit.
	MessageRate shaping.Rate `toml:"message_rate"`
	// ConnectionRate is how many connections may be made, likewise. Default: no limit.
	ConnectionRate shaping.Rate `toml:"connection_rate"`
}

// Shaping is the limit as package shaping has it.
func (l *Limit) Shaping() shaping.Limit {
	return shaping.Limit{
		Match: l.Match, Source: l.Source, EachSite: l.EachSite, Connections: l.Connections,
		MessagesPerConnection: l.MessagesPerConnection, MessageRate: l.MessageRate, ConnectionRate: l.ConnectionRate,
	}
}

// sources checks [[outbound.source]].
func (v *validator) sources() {
	names := make(map[string]bool)
	for i := range v.c.Outbound.Source {
		s := &v.c.Outbound.Source[i]
		key := "outbound.source[" + strconv.Itoa(i) + "]"
		if s.Name == "" || strings.ContainsFunc(s.Name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			v.fail(key+".name", "want a name without blanks")
		}
		if names[s.Name] {
			v.fail(key+".name", "%q is the name of another source", s.Name)
		}
		names[s.Name] = true
		v.sourceAddresses(key, s)
		if s.Helo != "" && !smtp.ValidDomain(s.Helo) {
			v.fail(key+".helo", "%q is not a host name", s.Helo)
		}
		for n := range s.Domains {
			v.pattern(key+".domains["+strconv.Itoa(n)+"]", &s.Domains[n])
		}
		for n, stream := range s.Streams {
			v.oneOf(key+".streams["+strconv.Itoa(n)+"]", stream, "person", "transactional", "bulk")
		}
		v.between(key+".weight", s.Weight, 0, 1_000_000)
	}
}

func (v *validator) sourceAddresses(key string, s *Source) {
	families := make(map[bool]bool)
	for n, text := range s.Address {
		a, err := netip.ParseAddr(text)
		switch at := key + ".address[" + strconv.Itoa(n) + "]"; {
		case err != nil || a.IsUnspecified() || a.IsMulticast():
			v.fail(at, "%q is not an address to call from", text)
		case families[a.Unmap().Is4()]:
			v.fail(at, "%q is a second address of one family", text)
		default:
			families[a.Unmap().Is4()] = true
		}
	}
}

// outboundLimits checks [[outbound.limit]].
func (v *validator) outboundLimits() {
	for i := range v.c.Outbound.Limit {
		l := &v.c.Outbound.Limit[i]
		key := "outbound.limit[" + strconv.Itoa(i) + "]"
		if _, err := l.Shaping().Parse(); err != nil {
			v.fail(key+".match", "%s", err.Error())
		}
		known := func(s Source) bool { return s.Name == l.Source }
		if l.Source != "" && !slices.ContainsFunc(v.c.Outbound.Source, known) {
			v.fail(key+".source", "there is no source %q", l.Source)
		}
		v.between(key+".connections", l.Connections, 0, 1<<20)
		v.between(key+".messages_per_connection", l.MessagesPerConnection, 0, 1<<20)
	}
}
