package server

import (
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"time"

	"posthouse/internal/config"
	"posthouse/internal/courier"
	"posthouse/internal/dns"
	"posthouse/internal/imapd"
	"posthouse/internal/pop3d"
	"posthouse/internal/smtpd"
	"posthouse/internal/status"
)

// newCourier makes the courier of a configuration.
func newCourier(cfg *config.Config, resolver dns.Resolver, outbound *outboundTLS, log *slog.Logger) (*courier.Courier, error) {
	rules, err := ReplyRules(cfg)
	if err != nil {
		return nil, err
	}
	opt := courier.Options{
		Rules: rules, Hostname: cfg.Hostname, Resolver: resolver, Port: uint16(cfg.Outbound.Port),
		PerSite: cfg.Outbound.ConnectionsPerSite, Total: cfg.Outbound.Connections, Log: log,
		IsLocal: isOurs(cfg), Sources: courierSources(cfg), TLSPolicy: outbound.engine, TLSResults: outbound.observe,
	}
	if opt.Routes, err = routeRules(cfg); err != nil {
		return nil, err
	}
	return courier.New(opt), nil
}

// routeRules are the configured ways as the courier knows them.
func routeRules(cfg *config.Config) (list []courier.RouteRule, err error) {
	for _, r := range cfg.Outbound.Route {
		via, err := r.Via.MarshalText()
		if err != nil {
			return nil, err
		}
		rule, err := courier.ParseRule(r.Match, string(via))
		if err != nil {
			return nil, err
		}
		list = append(list, rule)
	}
	return list, nil
}

// smtpDoors are the listeners that speak SMTP or LMTP.
var smtpDoors = []struct {
	name     string
	mode     smtpd.Mode
	implicit bool
}{
	{"smtp", smtpd.MX, false},
	{"submission", smtpd.Submission, false},
	{"submissions", smtpd.Submission, true},
	{"lmtp", smtpd.LMTP, false},
}

// newDoors makes the protocols' servers, by the name of their listeners.
func (s *Server) newDoors() map[string]func(net.Listener) error {
	e := &entrance{
		ground: s.ground, intake: s.intake, tokens: s.logins.tokens, metrics: s.metrics,
		greylist: s.greylist, trusted: s.ground.trust.has,
	}
	serve := make(map[string]func(net.Listener) error)
	for _, d := range smtpDoors {
		server := smtpd.New(s.smtpConfig(s.cfg, d.name, d.mode, d.implicit), smtpHandler{e})
		s.doors = append(s.doors, server)
		s.relimit = append(s.relimit, func(cfg *config.Config) { server.Reconfigure(s.smtpConfig(cfg, d.name, d.mode, d.implicit)) })
		serve[d.name] = server.Serve
	}
	imap, pop3 := imapd.New(s.imapConfig(), e), pop3d.New(s.pop3Config(), e)
	s.doors = append(s.doors, imap, pop3)
	s.relimit = append(s.relimit, func(cfg *config.Config) {
		imap.SetLimits(imapLimits(&cfg.Limits))
		pop3.SetLimits(pop3Limits(&cfg.Limits))
	})
	serve["imap"], serve["pop3"], serve["http"] = imap.Serve, pop3.Serve, s.http.Serve
	withTLS := func(fn func(net.Listener) error) func(net.Listener) error {
		return func(l net.Listener) error { return fn(tls.NewListener(l, s.logins.tls)) }
	}
	serve["imaps"], serve["pop3s"] = withTLS(imap.Serve), withTLS(pop3.Serve)
	httpsConfig := s.certs.TLS().Clone()
	httpsConfig.NextProtos = append([]string{"http/1.1"}, httpsConfig.NextProtos...)
	serve["https"] = func(l net.Listener) error { return s.http.Serve(tls.NewListener(l, httpsConfig)) }
	return serve
}

// smtpConfig is that of one door. What cfg says of limits and of SMTP may be newer
// than the rest.
func (s *Server) smtpConfig(cfg *config.Config, name string, mode smtpd.Mode, implicit bool) smtpd.Config {
	limits := smtpLimits(&cfg.Limits)
	limits.MessageSize = s.cfg.Limits.MessageSize.Bytes()
	t := s.certs.TLS()
	if mode == smtpd.Submission { // other servers' certificates are of no use to us
		t = s.logins.tls
	}
	return smtpd.Config{
		Door: name, Mode: mode, Hostname: s.cfg.Hostname, TLS: t, ImplicitTLS: implicit,
		AllowPlaintextAuth: s.cfg.Auth.AllowPlaintext, SASL: s.saslPolicy(config.ProtocolSMTP),
		Newlines: newlines(cfg.SMTP.BareNewlines), NormaliseFrom: config.Prefixes(cfg.SMTP.NormaliseFrom),
		GreetDelay: cfg.SMTP.GreetDelay.Duration, ErrorDelay: cfg.SMTP.ErrorDelay.Duration,
		Desk: desk{s.ground.directory, s.queue}, XClient: config.Prefixes(cfg.SMTP.XClient), ETRN: cfg.SMTP.ETRN, NoSoliciting: cfg.SMTP.NoSoliciting,
		Limits: limits, Trusted: config.Prefixes(cfg.Limits.Trusted), Clock: s.ground.clock, Log: s.log, Observer: smtpObserver{doorObserver{s.metrics}},
	}
}

func newlines(key string) smtpd.Newlines {
	switch key {
	case config.BareNormalise:
		return smtpd.NormaliseBare
	case config.BareAccept:
		return smtpd.AcceptBare
	}
	return smtpd.RefuseBare
}

func (s *Server) imapConfig() imapd.Config {
	return imapd.Config{
		Hostname: s.cfg.Hostname, Version: s.opt.Version, TLS: s.logins.tls, AllowPlaintext: s.cfg.Auth.AllowPlaintext, SASL: s.saslPolicy(config.ProtocolIMAP),
		MaxMessageSize: s.cfg.Limits.MessageSize.Bytes(), Limits: imapLimits(&s.cfg.Limits), Observer: doorObserver{s.metrics},
		Trusted: s.ground.trust.has, Log: s.log, Clock: s.ground.clock,
	}
}

// doorObserver counts what every door sees.
type doorObserver struct{ m *metrics }

// Opened is listen.Observer.
func (o doorObserver) Opened(door string) {
	o.m.opened.WithLabelValues(door).Inc()
	o.m.sessions.WithLabelValues(door).Inc()
}

// Refused is listen.Observer.
func (o doorObserver) Refused(door, reason string) {
	o.m.refused.WithLabelValues(door, label(reason)).Inc()
}

// Ended is listen.Observer.
func (o doorObserver) Ended(door, reason string) {
	o.m.sessions.WithLabelValues(door).Dec()
	o.m.ended.WithLabelValues(door, label(reason)).Inc()
}

// smtpObserver counts what the SMTP doors see besides.
type smtpObserver struct{ doorObserver }

// Closed is smtpd.Observer.
func (o smtpObserver) Closed(door string, s smtpd.Summary) { o.Ended(door, s.End) }

// label is a reason as the value of a label.
func label(reason string) string { return strings.ReplaceAll(reason, " ", "_") }

// Login is smtpd.Observer; the authenticator counts.
func (o smtpObserver) Login(string, string, error) {}

// Message is smtpd.Observer; of those accepted the journal's events are counted.
func (o smtpObserver) Message(door string, _ int64, _ time.Duration, err error) {
	if err != nil {
		o.m.unwanted.WithLabelValues(door, status.Of(err).Enhanced.String()).Inc()
	}
}
