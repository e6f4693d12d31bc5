package server

import (
	"slices"
	"strings"

	"posthouse/internal/config"
)

// reloaded are the keys that Reload applies, and log.level, which is the caller's.
var reloaded = []string{"log.level", "outbound.rules", "outbound.route", "outbound.tls"}

// Reload applies what can change while the house runs: the certificates, the rules
// for replies, and the ways of mail with what is asked of their hosts. What cannot be
// read stays as it was. Everything else in cfg waits for a restart, and the log says
// what.
func (s *Server) Reload(cfg *config.Config) {
	waits := slices.DeleteFunc(config.Changed(s.cfg, cfg), func(key string) bool { return slices.Contains(reloaded, key) })
	if len(waits) > 0 {
		s.log.Warn("changes that wait for a restart", "keys", strings.Join(waits, " "))
	}
	all := true
	for _, part := range []struct {
		name  string
		apply func(*config.Config) error
	}{
		{"rules for replies", s.reloadRules}, {"routes", s.reloadRoutes},
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

func (s *Server) reloadRules(cfg *config.Config) error {
	rules, err := ReplyRules(cfg)
	if err == nil {
		s.courier.SetRules(rules)
	}
	return err
}

// reloadRoutes sends also what waits already by the new ways.
func (s *Server) reloadRoutes(cfg *config.Config) error {
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
	return nil
}
