package server

import (
	"posthouse/internal/config"
	"posthouse/internal/dns"
	"posthouse/internal/tlspolicy"
)

// outboundTLS is what is asked of other hosts, and how they do.
type outboundTLS struct {
	engine  *tlspolicy.Engine
	metrics *metrics
}

func newOutboundTLS(cfg *config.Config, resolver dns.Resolver, m *metrics) (*outboundTLS, error) {
	opt := tlspolicy.Options{Resolver: resolver}
	for _, r := range cfg.Outbound.TLS {
		rule, err := tlspolicy.ParseRule(r.Match, r.Policy)
		if err != nil {
			return nil, err
		}
		opt.Rules = append(opt.Rules, rule)
	}
	return &outboundTLS{engine: tlspolicy.New(opt), metrics: m}, nil
}

// observe sees how the TLS of a session came out.
func (o *outboundTLS) observe(r *tlspolicy.Result) {
	result := string(r.Type)
	if r.Type == tlspolicy.Success {
		result = "ok"
	}
	o.metrics.tls.WithLabelValues(r.Policy.Name(), result).Inc()
}
