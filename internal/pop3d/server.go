// Package pop3d is the POP3 door (RFC 1939): INBOX as it was at login, one
// session at a time; messages go at QUIT and not before.
package pop3d

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/listen"
	"posthouse/internal/mailbox"
	"posthouse/internal/sasl"
)

// Backend is what the door needs of the house. Safe for concurrent use.
type Backend interface {
	// Authenticator checks the credentials of one session.
	Authenticator(remote netip.Addr, door string) sasl.Authenticator
	// Account opens the mailboxes of an account; the session releases it.
	Account(ctx context.Context, acct id.Account) (*mailbox.Account, error)
}

// Config is the settings of a Server. Zero values mean the defaults given.
type Config struct {
	Hostname       string
	Version        string
	TLS            *tls.Config // for STLS; nil: not offered
	AllowPlaintext bool        // logins without TLS, for loopback clients only
	SASL           sasl.Policy // what AUTH offers
	Limits
	// Trusted names clients that the limits on connections do not bind; nil: none.
	Trusted  func(netip.Addr) bool
	Log      *slog.Logger    // default: nothing is logged
	Observer listen.Observer // default: nobody
}

// Limits bound what clients can take. Zero values mean the defaults given.
type Limits struct {
	// Gate bounds the connections; 0 is no bound. Who has logged in counts in all.
	Gate         listen.GateLimits
	MaxCommands  int // per session; default 100,000
	MaxErrors    int // wrong commands, per session; default 20
	AuthAttempts int // per session; default 5
}

func (l *Limits) setDefaults() {
	l.MaxCommands = cmp.Or(l.MaxCommands, 100000)
	l.MaxErrors = cmp.Or(l.MaxErrors, 20)
	l.AuthAttempts = cmp.Or(l.AuthAttempts, 5)
}

// Timeouts. RFC 1939 section 3 asks for at least ten minutes of patience; whoever
// has not logged in gets less, and in all no more than loginPatience.
const (
	autologout     = 10 * time.Minute
	loginTimeout   = 2 * time.Minute
	crowdedTimeout = 30 * time.Second // for a stranger while most places are taken
	loginPatience  = 10 * time.Minute
	writeTimeout   = 2 * time.Minute
)

// Server runs the sessions of any number of listeners.
type Server struct {
	cfg     Config
	backend Backend
	ctx     context.Context // of all sessions; ends when they must
	cancel  context.CancelFunc
	limits  atomic.Pointer[Limits]
	gate    *listen.Gate

	listeners *listen.Listeners
	sessions  listen.Sessions
}

// New makes a Server.
func New(cfg Config, b Backend) *Server {
	cfg.Limits.setDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observer == nil {
		cfg.Observer = listen.Nobody{}
	}
	s := &Server{
		cfg: cfg, backend: b,
		gate:      listen.NewGate(cfg.Gate, cfg.Trusted, time.Now),
		listeners: listen.NewListeners(cfg.Log, "pop3", clock.System{}),
	}
	s.limits.Store(&cfg.Limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// SetLimits bounds clients otherwise from now on. Nobody who is in has to leave.
func (s *Server) SetLimits(l Limits) {
	l.setDefaults()
	s.gate.SetLimits(l.Gate, s.cfg.Trusted)
	s.limits.Store(&l)
}

// Serve accepts connections until Shutdown, then returns nil. A *tls.Conn has
// implicit TLS. It closes l.
func (s *Server) Serve(l net.Listener) error { return s.listeners.Accept(l, s.start) }

// start begins a session.
func (s *Server) start(c net.Conn) {
	sess := newSession(s, c, listen.Remote(c.RemoteAddr()))
	s.sessions.Go(sess, sess.serve)
}

// Shutdown closes the listeners, lets commands in progress end and ends the
// sessions; nothing is deleted in those that have not said QUIT. When ctx ends it
// cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	s.listeners.Close()
	return s.sessions.Shutdown(ctx)
}
