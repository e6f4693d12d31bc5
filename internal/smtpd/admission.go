package smtpd

import (
	"net/netip"
	"slices"
	"time"

	"posthouse/internal/listen"
)

func newGate(cfg *Config) *listen.Gate {
	l := cfg.Limits
	return listen.NewGate(listen.GateLimits{
		Total: max(0, l.Connections), PerAddress: max(0, l.ConnectionsPerIP), PerNetwork: max(0, l.ConnectionsPerNetwork),
		AddressRate: l.ConnectionRate, NetworkRate: l.NetworkRate,
	}, cfg.trusts, cfg.Clock.Now)
}

// trusts reports whether an address is in a trusted network.
func (c *Config) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(c.Trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// turnAway answers a client that is one too many.
func (s *Server) turnAway(ses *session, v listen.Verdict) {
	s.cfg.Observer.Refused(s.cfg.Door, v.Reason())
	s.gate.Log(ses.log, v)
	done, ok := s.gate.Explain()
	if !ok {
		return
	}
	defer done()
	const patience = 5 * time.Second
	ses.conn.ReadTimeout, ses.conn.WriteTimeout = patience, patience
	if s.cfg.ImplicitTLS && ses.conn.StartTLS(s.cfg.TLS) != nil {
		return
	}
	ses.reply(421, enhanced(4, 7, 0), v.Text())
	ses.conn.Flush()
	ses.conn.Linger()
}
