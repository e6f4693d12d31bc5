package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"

	"posthouse/internal/certs"
	"posthouse/internal/config"
	"posthouse/internal/listen"
	"posthouse/internal/pop3d"
)

// binding is a bound address that its door does not serve yet.
type binding struct {
	name     string
	listener net.Listener // nil once the door has it
}

// bindAll binds every address of a configuration. What it gives is to be closed
// also on error.
func bindAll(ctx context.Context, cfg *config.Config) ([]*binding, error) {
	var all []*binding
	if _, err := listen.Parse("unix:" + SocketPath(cfg.Data)); err != nil {
		return nil, cfg.Errorf("data", "no room for the admin socket: %v", err)
	}
	for _, l := range Listeners(cfg) {
		n, err := listen.Open(ctx, l.Address, listen.Options{Proxies: config.Prefixes(cfg.Listen.ProxyProtocol)})
		if err != nil {
			return all, cfg.Errorf(l.Key, "%v", err)
		}
		all = append(all, &binding{l.Name, n})
	}
	return all, nil
}

// bindSocket binds the admin socket, which only our own user may open.
func bindSocket(ctx context.Context, path string) (net.Listener, error) {
	l, err := listen.Open(ctx, "unix:"+path, listen.Options{SocketMode: privateMode})
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return l, nil
}

// newCerts makes the certificate manager of a configuration.
func newCerts(ctx context.Context, cfg *config.Config, log *slog.Logger) (*certs.Manager, error) {
	m, err := certs.New(ctx, certs.Options{
		Mode: cfg.TLS.Mode, Hostname: cfg.Hostname, Dir: filepath.Join(cfg.Data, certsDir),
		Cert: cfg.TLS.Cert, Key: cfg.TLS.Key,
		ACMEEmail: cfg.TLS.ACMEEmail, ACMECA: cfg.TLS.ACMECA, ACMEAgree: cfg.TLS.ACMEAgree, Log: log,
	})
	if err != nil {
		return nil, cfg.Errorf(certsKey(cfg, err), "%v", err)
	}
	return m, nil
}

// certsKey is the key that an error of the certificate is about.
func certsKey(cfg *config.Config, err error) string {
	var p *fs.PathError
	switch {
	case cfg.TLS.Mode != config.ModeFiles:
		return "data"
	case errors.As(err, &p) && p.Path == cfg.TLS.Key:
		return "tls.key"
	}
	return "tls.cert"
}

func (s *Server) pop3Config() pop3d.Config {
	return pop3d.Config{
		Hostname: s.cfg.Hostname, Version: s.opt.Version, TLS: s.logins.tls, AllowPlaintext: s.cfg.Auth.AllowPlaintext, SASL: s.saslPolicy(config.ProtocolPOP3),
		Limits: pop3Limits(&s.cfg.Limits), Observer: doorObserver{s.metrics}, Trusted: s.ground.trust.has, Log: s.log,
	}
}
