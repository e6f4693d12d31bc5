package smtpd

import (
	"posthouse/internal/listen"
)

func gateLimits(cfg *Config) listen.GateLimits {
	l := &cfg.Limits
	return listen.GateLimits{
		Total: max(0, l.Connections), PerAddress: max(0, l.ConnectionsPerIP), PerNetwork: max(0, l.ConnectionsPerNetwork),
		AddressRate: l.ConnectionRate, NetworkRate: l.NetworkRate,
	}
}

// turnAway answers a client that is one too many.
func (s *Server) turnAway(ses *session, v listen.Verdict) {
	ses.cfg.Observer.Refused(ses.cfg.Door, v.Reason())
	s.gate.Log(ses.log, v)
	done, ok := s.gate.Explain()
	if !ok {
		return
	}
	defer done()
	defer s.end(ses) // before the slot is another's
	ses.conn.ReadTimeout, ses.conn.WriteTimeout = ses.cfg.Timeouts.Refusal, ses.cfg.Timeouts.Refusal
	if ses.cfg.ImplicitTLS && ses.conn.StartTLS(ses.cfg.TLS) != nil {
		return
	}
	ses.reply(421, enhanced(4, 7, 0), v.Text())
	ses.conn.Flush()
	ses.conn.Linger()
}
