package smtpd

import (
	"net/netip"
	"slices"
	"time"

	"posthouse/internal/listen"
)

// maxRefusals is how many clients at a time are told that they are too many;
// above it they are cut off without a word.
const maxRefusals = 16

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

// refusal is why a connection is turned away: for the log and the metrics, and
// for the client.
type refusal struct{ reason, text string }

func refusalOf(v listen.Verdict) refusal {
	switch v {
	case listen.TooManyFromYou:
		return refusal{"address", "Too many connections from your address, try again later"}
	case listen.TooManyFromNetwork:
		return refusal{"network", "Too many connections from your network, try again later"}
	case listen.TooOftenFromYou:
		return refusal{"address rate", "Your address connects too often, try again in a minute"}
	case listen.TooOftenFromNetwork:
		return refusal{"network rate", "Your network connects too often, try again in a minute"}
	}
	return refusal{"connections", "Too many connections, try again later"}
}

// turnAway answers a client that is one too many.
func (s *Server) turnAway(ses *session, why refusal) {
	s.cfg.Observer.Refused(s.cfg.Door, why.reason)
	select {
	case s.refusal <- struct{}{}:
		defer func() { <-s.refusal }()
	default:
		// A flood must not fill the log either; it is counted.
		ses.log.Debug("connection cut off", "reason", why.reason)
		return
	}
	ses.log.Info("connection refused", "reason", why.reason)
	const patience = 5 * time.Second
	ses.conn.ReadTimeout, ses.conn.WriteTimeout = patience, patience
	if s.cfg.ImplicitTLS && ses.conn.StartTLS(s.cfg.TLS) != nil {
		return
	}
	ses.reply(421, enhanced(4, 7, 0), why.text)
	ses.conn.Flush()
	ses.linger()
}
