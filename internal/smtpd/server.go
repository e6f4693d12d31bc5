// Package smtpd is the door through which mail comes in: SMTP for other servers
// (RFC 5321) and for our own people (RFC 6409), LMTP (RFC 2033). It holds the
// conversation and nothing else; a Handler decides.
package smtpd

import (
	"context"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"posthouse/internal/listen"
)

// Server serves one door, on as many listeners as it is given.
type Server struct {
	cfg     atomic.Pointer[Config] // of sessions that begin now
	handler Handler
	ctx     context.Context // of all sessions; ends when they must
	cancel  context.CancelFunc
	// extensions is what this door speaks of in EHLO.
	extensions []extension
	gate       *listen.Gate
	pillory    chan struct{} // slots for sessions that are being slowed down
	stopping   chan struct{} // closed when Shutdown begins

	listeners *listen.Listeners

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
	etrned   map[string]time.Time // when ETRN last started a node's queue
	wg       sync.WaitGroup
}

// New makes a server that asks h.
func New(cfg Config, h Handler) *Server {
	cfg.setDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		handler: h, ctx: ctx, cancel: cancel, extensions: extensionList(),
		gate:    listen.NewGate(gateLimits(&cfg), cfg.Trusted.Have, cfg.Clock.Now),
		pillory: make(chan struct{}, maxSlowed), stopping: make(chan struct{}),
		listeners: listen.NewListeners(cfg.Log, cfg.Door, cfg.Clock),
		sessions:  make(map[*session]struct{}),
		etrned:    make(map[string]time.Time),
	}
	s.cfg.Store(&cfg)
	return s
}

// Reconfigure gives sessions that begin from now on another configuration. Door,
// Mode, TLS, Clock, Log and Observer stay what they were.
func (s *Server) Reconfigure(cfg Config) {
	old := s.cfg.Load()
	cfg.Door, cfg.Mode, cfg.TLS, cfg.ImplicitTLS = old.Door, old.Mode, old.TLS, old.ImplicitTLS
	cfg.Clock, cfg.Log, cfg.Observer = old.Clock, old.Log, old.Observer
	cfg.setDefaults()
	s.gate.SetLimits(gateLimits(&cfg), cfg.Trusted.Have)
	s.cfg.Store(&cfg)
}

// Serve accepts connections from l until Shutdown, then returns ErrServerClosed;
// or until l fails. It closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.listeners.Accept(l, func(conn net.Conn) {
		if !s.start(conn) {
			conn.Close()
		}
	})
	if err != nil {
		return err
	}
	return ErrServerClosed
}

// start runs a session for conn; false when the server is closed.
func (s *Server) start(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	ses := newSession(s, conn)
	s.sessions[ses] = struct{}{}
	s.wg.Go(func() {
		defer s.end(ses)
		s.run(ses)
	})
	return true
}

// run holds a session, or turns its client away. The client's address is asked
// for here and not in Serve: behind a proxy it comes over the connection.
func (s *Server) run(ses *session) {
	defer func() {
		if p := recover(); p != nil {
			ses.log.Error("session failed", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	ses.setRemote(ses.raw.RemoteAddr())
	pass, verdict := s.gate.Enter(ses.remote.Addr())
	if verdict != listen.Welcome {
		s.turnAway(ses, verdict)
		return
	}
	ses.pass = pass
	defer pass.Leave()
	ses.cfg.Observer.Opened(ses.cfg.Door)
	ses.serve()
}

// end takes a session off the books and closes its connection, in this order: who
// sees it closed may count on it. A second call does nothing.
func (s *Server) end(ses *session) {
	s.mu.Lock()
	delete(s.sessions, ses)
	s.mu.Unlock()
	ses.raw.Close()
}

// Shutdown stops accepting, tells idle clients 421 and lets the others finish
// what they are at until ctx ends; then it closes what is left. It returns when
// all sessions are over: nil, or ctx's error when some were cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		close(s.stopping)
	}
	s.closed = true
	s.listeners.Close()
	for ses := range s.sessions {
		ses.interrupt()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		s.cancel()
		s.mu.Lock()
		for ses := range s.sessions {
			err = ctx.Err()
			ses.raw.Close()
		}
		s.mu.Unlock()
		<-done
	}
	s.cancel()
	return err
}
