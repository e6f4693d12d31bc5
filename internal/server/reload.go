package server

import (
	"slices"
	"strings"

	"posthouse/internal/config"
)

// isReloaded reports whether Reload applies a key, or its caller: log.level.
func isReloaded(key string) bool {
	switch section, _, _ := strings.Cut(key, "."); section {
	case "limits":
		return key != "limits.message_size"
	case "smtp":
		return true
	}
	return slices.Contains([]string{"log.level", "outbound.rules", "outbound.route", "outbound.tls"}, key)
}

// Reload applies what can change while the house runs: the certificates, the rules
// for replies, the ways of mail with what is asked of their hosts, and for sessions
// that begin from now on limits and how SMTP is held to its protocol. What cannot be
// read stays as it was. Everything else in cfg waits for a restart, and the log says
// what.
func (s *Server) Reload(cfg *config.Config) {
	waits := slices.DeleteFunc(config.Changed(s.cfg, cfg), isReloaded)
	if len(waits) > 0 {
		s.log.Warn("changes that wait for a restart", "keys", strings.Join(waits, " "))
	}
	all := true
	for _, part := range []struct {
		name  string
		apply func(*config.Config) error
	}{
		{"limits", s.reloadLimits}, {"rules for replies", s.reloadRules}, {"routes", s.reloadRoutes},
		{"certificates", func(*config.Config) error { return s.certs.Reload() }},
	} {
		if err := part.apply(cfg); err != nil {
			s.log.Error(part.name+" not reloaded, the old ones stay", "err", err)
			all = false
		}
	}
	if all {
		s.log.Info("reloaded")
	}
}

func (s *Server) reloadLimits(cfg *config.Config) error {
	s.ground.trust.set(cfg)
	s.intake.SetBounds(intakeBounds(cfg))
	for _, set := range s.relimit {
		set(cfg)
	}
	return nil
}

func (s *Server) reloadRules(cfg *config.Config) error {
	rules, err := ReplyRules(cfg)
	if err == nil {
		s.courier.SetRules(rules)
	}
	return err
}

// reloadRoutes sends also what waits already by the new ways. Without a change nothing
// is looked up again.
func (s *Server) reloadRoutes(cfg *config.Config) error {
	if !slices.ContainsFunc(config.Changed(s.routed, cfg), func(key string) bool { return key == "outbound.route" || key == "outbound.tls" }) {
		return nil
	}
	routes, err := routeRules(cfg)
	if err != nil {
		return err
	}
	asked, err := tlsRules(cfg)
	if err != nil {
		return err
	}
	s.outbound.engine.SetRules(asked)
	s.courier.SetRoutes(routes)
	s.queue.RoutesChanged()
	s.routed = cfg
	return nil
}
