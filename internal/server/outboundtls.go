package server

import (
	"context"
	"io"
	"log/slog"
	"time"

	"posthouse/internal/config"
	"posthouse/internal/dns"
	"posthouse/internal/fetch"
	"posthouse/internal/smtp"
	"posthouse/internal/tlspolicy"
	"posthouse/internal/tlsreport"
)

// outboundTLS is what is asked of other hosts, and how they do.
type outboundTLS struct {
	engine  *tlspolicy.Engine
	sts     *tlspolicy.STSCache // nil when it is switched off
	counter *tlsreport.Counter  // nil when no reports are sent
	metrics *metrics
	log     *slog.Logger
}

func newOutboundTLS(cfg *config.Config, resolver dns.Resolver, g *ground, m *metrics) (*outboundTLS, error) {
	o := &outboundTLS{metrics: m, log: g.log}
	rules, err := tlsRules(cfg)
	if err != nil {
		return nil, err
	}
	opt := tlspolicy.Options{Resolver: resolver, Rules: rules}
	if cfg.Outbound.MTASTS {
		o.sts = tlspolicy.NewSTSCache(tlspolicy.STSOptions{
			DB: g.db, Resolver: resolver, Clock: g.clock, Log: g.log,
			Client: fetch.NewClient(fetch.Options{Resolver: resolver}),
		})
		opt.STS = o.sts
	}
	if cfg.Outbound.TLSReports.Enabled {
		o.counter = tlsreport.NewCounter(g.db, g.clock, g.log)
	}
	o.engine = tlspolicy.New(opt)
	return o, nil
}

// tlsRules are what the configuration asks of single domains' hosts.
func tlsRules(cfg *config.Config) (list []tlspolicy.Rule, err error) {
	for _, r := range cfg.Outbound.TLS {
		rule, err := tlspolicy.ParseRule(r.Match, r.Policy)
		if err != nil {
			return nil, err
		}
		list = append(list, rule)
	}
	return list, nil
}

// observe sees how the TLS of a session came out.
func (o *outboundTLS) observe(r *tlspolicy.Result) {
	result := string(r.Type)
	if r.Type == tlspolicy.Success {
		result = "ok"
	}
	o.metrics.tls.WithLabelValues(r.Policy.Name(), result).Inc()
	if o.counter != nil {
		o.counter.Add(r)
	}
}

// refreshEvery is how often policies that are kept are looked through.
const refreshEvery = time.Hour

// keep refreshes the policies of other domains until ctx ends.
func (o *outboundTLS) keep(ctx context.Context) {
	for o.sts != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(refreshEvery):
		}
		if err := o.sts.Refresh(ctx); err != nil && ctx.Err() == nil {
			o.log.Warn("refreshing MTA-STS policies", "err", err)
		}
	}
}

// close ends what is being fetched, before the store closes.
func (o *outboundTLS) close() {
	if o.sts != nil {
		o.sts.Close()
	}
}

// newReports sends what the counter keeps; nil when no reports are sent.
func (s *Server) newReports(resolver dns.Resolver) (*tlsreport.Sender, error) {
	cfg := &s.cfg.Outbound.TLSReports
	if !cfg.Enabled {
		return nil, nil
	}
	contact, err := smtp.ParseAddress(cfg.Contact)
	if err != nil {
		return nil, err
	}
	org := cfg.Organization
	if org == "" {
		org = s.cfg.Hostname
	}
	return tlsreport.NewSender(tlsreport.Options{
		DB: s.ground.db, Resolver: resolver, Client: fetch.NewClient(fetch.Options{Resolver: resolver}),
		Clock: s.ground.clock, Log: s.log, Hostname: s.cfg.Hostname, Org: org, Contact: contact,
		Submit: func(ctx context.Context, to smtp.Address, message io.WriterTo) error {
			return s.intake.Post(ctx, contact, to, message)
		},
	}), nil
}
