package server

import (
	"context"
	"log/slog"
	"time"

	"posthouse/internal/config"
	"posthouse/internal/dns"
	"posthouse/internal/fetch"
	"posthouse/internal/tlspolicy"
)

// outboundTLS is what is asked of other hosts, and how they do.
type outboundTLS struct {
	engine  *tlspolicy.Engine
	sts     *tlspolicy.STSCache // nil when it is switched off
	metrics *metrics
	log     *slog.Logger
}

func newOutboundTLS(cfg *config.Config, resolver dns.Resolver, g *ground, m *metrics) (*outboundTLS, error) {
	o := &outboundTLS{metrics: m, log: g.log}
	opt := tlspolicy.Options{Resolver: resolver}
	for _, r := range cfg.Outbound.TLS {
		rule, err := tlspolicy.ParseRule(r.Match, r.Policy)
		if err != nil {
			return nil, err
		}
		opt.Rules = append(opt.Rules, rule)
	}
	if cfg.Outbound.MTASTS {
		o.sts = tlspolicy.NewSTSCache(tlspolicy.STSOptions{
			DB: g.db, Resolver: resolver, Clock: g.clock, Log: g.log,
			Client: fetch.NewClient(fetch.Options{Resolver: resolver}),
		})
		opt.STS = o.sts
	}
	o.engine = tlspolicy.New(opt)
	return o, nil
}

// observe sees how the TLS of a session came out.
func (o *outboundTLS) observe(r *tlspolicy.Result) {
	result := string(r.Type)
	if r.Type == tlspolicy.Success {
		result = "ok"
	}
	o.metrics.tls.WithLabelValues(r.Policy.Name(), result).Inc()
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
