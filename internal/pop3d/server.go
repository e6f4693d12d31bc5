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
	"sync"
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
	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
	limits  atomic.Pointer[Limits]
	gate    *listen.Gate

	listeners *listen.Listeners

	mu       sync.Mutex
	closing  bool
	sessions map[*session]struct{}
	wg       sync.WaitGroup
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
		listeners: listen.NewListeners(cfg.Log, "pop3", clock.System{}), sessions: map[*session]struct{}{},
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

// start runs a session, or turns its client away.
func (s *Server) start(c net.Conn) {
	sess := newSession(s, c, listen.Remote(c.RemoteAddr()))
	verdict := s.admit(sess)
	if verdict == listen.Welcome {
		s.cfg.Observer.Opened(sess.door)
	}
	s.wg.Go(func() {
		if verdict != listen.Welcome {
			sess.turnAway(verdict)
			return
		}
		sess.run()
	})
}

// admit counts a session in, until its leave.
func (s *Server) admit(sess *session) listen.Verdict {
	pass, verdict := s.gate.Enter(sess.remote)
	if verdict != listen.Welcome {
		return verdict
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		pass.Leave()
		return listen.ShuttingDown
	}
	s.sessions[sess] = struct{}{}
	sess.pass = pass
	sess.leave = func() {
		s.mu.Lock()
		delete(s.sessions, sess)
		s.mu.Unlock()
		pass.Leave()
	}
	return verdict
}

// Shutdown closes the listeners and ends the sessions; nothing is deleted in
// those that have not said QUIT. When ctx ends it cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.cancel()
	s.listeners.Close()
	for sess := range s.sessions {
		sess.interrupt()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for sess := range s.sessions {
		sess.conn.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}
