// Package imapd is the IMAP door: IMAP4rev2 (RFC 9051) and IMAP4rev1
// (RFC 3501) over the mailboxes of package mailbox. A session keeps a snapshot
// of its mailbox, so sequence numbers stand still until the protocol lets them
// move; literals stream into the store and FETCH streams from it.
package imapd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/listen"
	"posthouse/internal/mailbox"
	"posthouse/internal/sasl"
)

// Backend is what the door needs of the house. It is safe for concurrent use.
type Backend interface {
	// Authenticator checks the credentials of one session.
	Authenticator(remote netip.Addr, door string) sasl.Authenticator
	// Account opens the mailboxes of an account; the session releases it.
	Account(ctx context.Context, acct id.Account) (*mailbox.Account, error)
	// NewIncoming begins a message for APPEND, of so many bytes.
	NewIncoming(ctx context.Context, size int64) (*mailbox.Incoming, error)
}

// Config is the settings of a Server. Zero values mean the defaults given.
type Config struct {
	Hostname       string
	Version        string      // for ID
	TLS            *tls.Config // for STARTTLS; nil: not offered
	AllowPlaintext bool        // LOGIN and AUTHENTICATE without TLS, for loopback clients only
	SASL           sasl.Policy // what AUTHENTICATE offers
	MaxMessageSize int64       // APPENDLIMIT in bytes; default 50 MB
	Limits
	// Trusted names clients that the limits on connections do not bind; nil: none.
	Trusted  func(netip.Addr) bool
	Log      *slog.Logger    // default: nothing is logged
	Clock    clock.Clock     // default: the system's
	Observer listen.Observer // default: nobody
}

// Limits bound what clients can take. Zero values mean the defaults given.
type Limits struct {
	// Gate bounds the connections; 0 is no bound. Who has logged in counts in all
	// and for the account.
	Gate          listen.GateLimits
	MaxPerAccount int // sessions per account; default 100
	MaxErrors     int // bad commands, one after another; default 20
	AuthAttempts  int // failed logins per session; default 5
}

func (l *Limits) setDefaults() {
	l.MaxPerAccount = cmp.Or(l.MaxPerAccount, 100)
	l.MaxErrors = cmp.Or(l.MaxErrors, 20)
	l.AuthAttempts = cmp.Or(l.AuthAttempts, 5)
}

func (c *Config) setDefaults() {
	c.Limits.setDefaults()
	if c.MaxMessageSize == 0 {
		c.MaxMessageSize = 50 << 20
	}
	if c.Trusted == nil {
		c.Trusted = func(netip.Addr) bool { return false }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Observer == nil {
		c.Observer = listen.Nobody{}
	}
}

// ErrClosed is what Serve answers after Shutdown.
var ErrClosed = errors.New("imapd: server closed")

// Server runs the sessions of any number of listeners.
type Server struct {
	cfg     Config
	backend Backend
	caps    *capabilities
	limits  atomic.Pointer[Limits]
	gate    *listen.Gate

	listeners *listen.Listeners
	sessions  listen.Sessions

	mu      sync.Mutex
	perAcct map[id.Account]int
}

// New makes a Server.
func New(cfg Config, b Backend) *Server {
	cfg.setDefaults()
	s := &Server{
		cfg: cfg, backend: b, caps: newCapabilities(&cfg),
		gate:      listen.NewGate(cfg.Gate, cfg.Trusted, cfg.Clock.Now),
		listeners: listen.NewListeners(cfg.Log, "imap", cfg.Clock),
		perAcct:   make(map[id.Account]int),
	}
	s.limits.Store(&cfg.Limits)
	return s
}

// SetLimits bounds clients otherwise from now on. Nobody who is in has to leave.
func (s *Server) SetLimits(l Limits) {
	l.setDefaults()
	s.gate.SetLimits(l.Gate, s.cfg.Trusted)
	s.limits.Store(&l)
}

// Serve accepts connections until Shutdown or until l fails. A connection that
// is a *tls.Conn has implicit TLS. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.listeners.Accept(l, s.start); err != nil {
		return err
	}
	return ErrClosed
}

// start begins a session.
func (s *Server) start(c net.Conn) {
	sess := newSession(s, c)
	s.sessions.Go(sess, sess.serve)
}

// admitAccount counts a login; false when the account has too many sessions.
// Trusted clients are counted and let in.
func (s *Server) admitAccount(acct id.Account, remote netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAcct[acct] >= s.limits.Load().MaxPerAccount && !s.cfg.Trusted(remote) {
		return false
	}
	s.perAcct[acct]++
	return true
}

func (s *Server) leaveAccount(acct id.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAcct[acct]--; s.perAcct[acct] <= 0 {
		delete(s.perAcct, acct)
	}
}

// Sessions is the number of sessions now.
func (s *Server) Sessions() int { return s.sessions.Len() }

// Shutdown closes the listeners, lets commands in progress end, sends BYE and
// waits for the sessions; when ctx ends it cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Close()
	return s.sessions.Shutdown(ctx)
}
