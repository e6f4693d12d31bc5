package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"posthouse/internal/listen"
	"posthouse/internal/oidc"
	"posthouse/internal/smtp"
)

// validator checks what values mean, and says where the first wrong one stands.
type validator struct {
	c      *Config
	source string
	err    error
}

// all runs the checks in the order of the file; the first fault wins.
func (v *validator) all() error {
	v.general()
	v.listen()
	v.tls()
	v.auth()
	v.smtp()
	v.limits()
	v.greylist()
	v.outbound()
	v.outboundTLS()
	v.sources()
	v.outboundLimits()
	v.tlsReports()
	v.oneOf("log.level", v.c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", v.c.Log.Format, "text", "json")
	return v.err
}

// fail notes a fault, the first one only.
func (v *validator) fail(key, format string, args ...any) {
	if v.err != nil {
		return
	}
	err := v.c.Errorf(key, format, args...)
	var e *Error
	if errors.As(err, &e) && e.Line == 0 && e.Source == "configuration" && v.source != "" {
		e.Source = v.source
	}
	v.err = err
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fail(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

func (v *validator) between(key string, value, low, high int) {
	if value < low || value > high {
		v.fail(key, "%d is not between %d and %d", value, low, high)
	}
}

func (v *validator) size(key string, value, low, high Size) {
	if value < low || value > high {
		v.fail(key, "%s is not between %s and %s", value, low, high)
	}
}

func (v *validator) duration(key string, value Duration, low, high time.Duration) {
	if value.Duration < low || value.Duration > high {
		v.fail(key, "%s is not between %s and %s", value, Duration{low}, Duration{high})
	}
}

func (v *validator) general() {
	v.hostname()
	if v.c.Data == "" {
		v.fail("data", "want a directory")
	}
	name, group, has := strings.Cut(v.c.User, ":")
	if v.c.User != "" && (name == "" || has && group == "" || strings.ContainsAny(v.c.User, " /\x00")) {
		v.fail("user", "%q is not a user name", v.c.User)
	}
	v.size("store.cache", v.c.Store.Cache, 1<<20, 1<<40)
	v.size("store.segment", v.c.Store.Segment, 1<<20, 1<<30)
	if v.c.Store.Reserve != AutoReserve {
		v.size("store.reserve", v.c.Store.Reserve, 0, 1<<50)
	}
	for i, s := range v.c.DNS.Servers {
		full, ok := serverAddress(s)
		if !ok {
			v.fail(fmt.Sprintf("dns.servers[%d]", i), "%q is not \"address\" or \"address:port\"", s)
		}
		v.c.DNS.Servers[i] = full
	}
}

// hostname brings the name into A-labels: it goes where nobody asked for SMTPUTF8.
func (v *validator) hostname() {
	name := v.c.Hostname
	if _, err := netip.ParseAddr(name); err == nil || !smtp.ValidDomain(name) {
		v.fail("hostname", "%q is not a host name", name)
		return
	}
	for _, r := range name {
		if r >= utf8.RuneSelf {
			v.c.Hostname = smtp.CanonicalDomain(name)
			return
		}
	}
}

// serverAddress completes a resolver's address with the port 53.
func serverAddress(s string) (string, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return s, ap.Port() != 0
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return s, false
	}
	return netip.AddrPortFrom(a, 53).String(), true
}

func (v *validator) listen() {
	taken := make(map[string]string)
	for _, f := range fields(v.c) {
		list, ok := f.value.Interface().([]string)
		if !ok || !strings.HasPrefix(f.key, "listen.") {
			continue
		}
		for i, spec := range list {
			key := fmt.Sprintf("%s[%d]", f.key, i)
			a, err := listen.Parse(spec)
			if err != nil {
				v.fail(key, "%v", err)
				continue
			}
			if other := taken[a.String()]; other != "" && !a.AnyPort() {
				v.fail(key, "%q is taken by %s", spec, other)
			}
			taken[a.String()] = f.key
		}
	}
}

func (v *validator) auth() {
	a := &v.c.Auth
	v.size("auth.hash_memory", a.HashMemory, 20<<20, 1<<40)
	v.duration("auth.cache_for", a.CacheFor, time.Second, 24*time.Hour)
	for i, protocol := range a.AnnouncePlus {
		v.oneOf("auth.announce_plus["+strconv.Itoa(i)+"]", protocol, ProtocolSMTP, ProtocolIMAP, ProtocolPOP3)
	}
	v.oidc()
}

func (v *validator) oidc() {
	o := &v.c.Auth.OIDC
	switch u, err := url.Parse(o.Issuer); {
	case o.Issuer == "" && o.Audience != "":
		v.fail("auth.oidc.audience", "there is no issuer")
	case o.Issuer == "":
	case err != nil || !oidc.SafeURL(u) || u.RawQuery != "" || u.Fragment != "":
		v.fail("auth.oidc.issuer", "%q is not an https URL", o.Issuer)
	case o.Audience == "":
		v.fail("auth.oidc.audience", "an issuer needs an audience: tokens for others must not log in here")
	case o.Claim == "":
		v.fail("auth.oidc.claim", "want the name of a claim")
	}
}

func (v *validator) tls() {
	t := &v.c.TLS
	v.oneOf("tls.mode", t.Mode, ModeSelfSigned, ModeFiles, ModeACME)
	switch t.Mode {
	case ModeFiles:
		if t.Cert == "" {
			v.fail("tls.cert", "mode \"files\" needs the file of a certificate")
		}
		if t.Key == "" {
			v.fail("tls.key", "mode \"files\" needs the file of a key")
		}
	case ModeACME:
		if !t.ACMEAgree {
			v.fail("tls.acme_agree", "mode \"acme\" needs the authority's terms accepted")
		}
		if !strings.Contains(v.c.Hostname, ".") {
			v.fail("hostname", "mode \"acme\" needs a full host name, not %q", v.c.Hostname)
		}
	}
	if t.ACMECA != "" {
		u, err := url.Parse(t.ACMECA)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			v.fail("tls.acme_ca", "%q is not an https URL", t.ACMECA)
		}
	}
	if t.ACMEEmail != "" {
		if _, err := smtp.ParseAddress(t.ACMEEmail); err != nil {
			v.fail("tls.acme_email", "%q is not a mail address", t.ACMEEmail)
		}
	}
}

func (v *validator) smtp() {
	s := &v.c.SMTP
	v.oneOf("smtp.bare_newlines", s.BareNewlines, BareRefuse, BareNormalise, BareAccept)
	v.duration("smtp.greet_delay", s.GreetDelay, 0, 30*time.Second)
	v.duration("smtp.error_delay", s.ErrorDelay, 0, 30*time.Second)
	classes := strings.Join(s.NoSoliciting, ",")
	if _, err := smtp.ParseSolicit(classes); len(s.NoSoliciting) > 0 && (err != nil || len(classes) > smtp.MaxUnwanted) {
		v.fail("smtp.no_soliciting", "want classes such as \"net.example:ADV\", %d characters together", smtp.MaxUnwanted)
	}
	for i, domain := range s.ETRN {
		if !smtp.ValidDomain(domain) {
			v.fail(fmt.Sprintf("smtp.etrn[%d]", i), "%q is not a domain", domain)
		}
		s.ETRN[i] = smtp.CanonicalDomain(domain)
	}
}

func (v *validator) limits() {
	const many = 1 << 30
	l := &v.c.Limits
	v.size("limits.message_size", l.MessageSize, 1<<10, 1<<30)
	v.between("limits.recipients", l.Recipients, 100, 100000)
	v.between("limits.connections", l.Connections, 1, many)
	v.between("limits.connections_per_address", l.ConnectionsPerAddress, 1, many)
	v.between("limits.connections_per_network", l.ConnectionsPerNetwork, 1, many)
	v.between("limits.connection_rate_per_address", l.ConnectionRatePerAddress, 0, many)
	v.between("limits.connection_rate_per_network", l.ConnectionRatePerNetwork, 0, many)
	v.between("limits.connections_per_account", l.ConnectionsPerAccount, 1, many)
	v.between("limits.commands", l.Commands, 10, many)
	v.between("limits.errors", l.Errors, 1, many)
	v.between("limits.idle_commands", l.IdleCommands, 1, many)
	v.between("limits.unknown_recipients", l.UnknownRecipients, 1, many)
	v.between("limits.messages", l.Messages, 1, many)
	v.between("limits.auth_attempts", l.AuthAttempts, 1, 1000)
	v.duration("limits.future_release", l.FutureRelease, 0, 366*24*time.Hour)
	v.between("limits.future_release_messages", l.FutureReleaseMessages, 1, many)
	v.size("limits.future_release_size", l.FutureReleaseSize, 1<<10, 1<<40)
	v.duration("limits.deliver_by_min", l.DeliverByMin, 0, 24*time.Hour)
}

func (v *validator) greylist() {
	const day = 24 * time.Hour
	g := &v.c.Greylist
	for i, s := range g.Domains {
		p, ok := smtp.ParseDomainPattern(s)
		if !ok {
			v.fail(fmt.Sprintf("greylist.domains[%d]", i), "%q is not a domain, \"*.domain\" or \"*\"", s)
		}
		g.Domains[i] = string(p)
	}
	v.duration("greylist.delay", g.Delay, time.Second, day)
	v.duration("greylist.window", g.Window, time.Second, 7*day)
	v.duration("greylist.lifetime", g.Lifetime, time.Second, 366*day)
	if g.Window.Duration <= g.Delay.Duration {
		v.fail("greylist.window", "%s is not more than greylist.delay, %s", g.Window, g.Delay)
	}
	if g.Lifetime.Duration <= g.Window.Duration {
		v.fail("greylist.lifetime", "%s is not more than greylist.window, %s", g.Lifetime, g.Window)
	}
	v.between("greylist.learn", g.Learn, 0, 1<<20)
}

func (v *validator) outbound() {
	o := &v.c.Outbound
	v.between("outbound.port", o.Port, 1, 65535)
	v.between("outbound.connections", o.Connections, 1, 1<<20)
	v.between("outbound.connections_per_site", o.ConnectionsPerSite, 1, 1<<20)
	v.duration("outbound.retry", o.Retry, time.Millisecond, 24*time.Hour)
	v.duration("outbound.give_up", o.GiveUp, time.Second, 60*24*time.Hour)
	if o.GiveUp.Duration <= o.Retry.Duration {
		v.fail("outbound.give_up", "%s is not more than outbound.retry, %s", o.GiveUp, o.Retry)
	}
	for i := range o.Route {
		r := &o.Route[i]
		key := "outbound.route[" + strconv.Itoa(i) + "]"
		v.pattern(key+".match", &r.Match)
		if r.Via.Host == "" {
			v.fail(key+".via", "want a URL such as \"smtp://host:25\"")
		}
	}
}

// pattern checks what chooses domains, and makes it canonical.
func (v *validator) pattern(key string, match *string) {
	p, ok := smtp.ParseDomainPattern(*match)
	if !ok {
		v.fail(key, "%q is not a domain, \"*.domain\" or \"*\"", *match)
		return
	}
	*match = string(p)
}

// outboundTLS checks [[outbound.tls]].
func (v *validator) outboundTLS() {
	for i := range v.c.Outbound.TLS {
		r := &v.c.Outbound.TLS[i]
		key := "outbound.tls[" + strconv.Itoa(i) + "]"
		v.pattern(key+".match", &r.Match)
		v.oneOf(key+".policy", r.Policy, "auto", "none", "may", "encrypt", "verify", "secure", "dane", "dane-only")
		if strings.HasPrefix(r.Policy, "dane-") && !v.c.DNS.Validating {
			v.fail(key+".policy", "DANE needs a resolver that checks DNSSEC: set dns.validating")
		}
	}
}

func (v *validator) tlsReports() {
	r := &v.c.Outbound.TLSReports
	if r.Contact != "" || r.Enabled {
		if a, err := smtp.ParseAddress(r.Contact); err != nil || !a.IsASCII() {
			v.fail("outbound.tls_reports.contact", "%q is not a mail address", r.Contact)
		}
	}
	if strings.ContainsFunc(r.Organization, unicode.IsControl) {
		v.fail("outbound.tls_reports.organization", "a name has no control characters")
	}
}

// resolve makes the paths of c absolute, seen from dir.
func (c *Config) resolve(dir string) {
	for _, p := range []*string{&c.Data, &c.TLS.Cert, &c.TLS.Key, &c.Auth.ClientCA, &c.Outbound.Rules} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
