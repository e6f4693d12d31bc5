// Package httpd is the house's HTTP door: the admin API (OpenAPI at
// /openapi.json), Prometheus metrics, health and readiness. The same handlers
// stand on the Unix socket of the data directory, where only its owner may
// knock, and on TCP, where the admin API asks for a token.
package httpd

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"posthouse/internal/admin"
)

// Config of a Server.
type Config struct {
	API     admin.API
	Version string
	// Metrics answers /metrics.
	Metrics http.Handler
	// Ready tells what is not ready, nil when everything is.
	Ready func(context.Context) error
	// Token opens the admin API on TCP; "" closes it there.
	Token string
	// Wrap, when set, sees requests on TCP first (ACME's HTTP-01).
	Wrap func(http.Handler) http.Handler
	Log  *slog.Logger
}

// Bounds of a request.
const (
	maxHeader   = 64 << 10
	readTimeout = 30 * time.Second
	// writeTimeout is generous because a list may be long.
	writeTimeout = 2 * time.Minute
	idleTimeout  = 2 * time.Minute
)

// Server serves any number of listeners.
type Server struct {
	cfg     Config
	mu      sync.Mutex
	closed  bool // Shutdown was called
	servers []*http.Server
}

// New makes a Server.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// ServeAdmin serves everything, without a token, to whoever can connect: for
// the Unix socket. It returns after Shutdown.
func (s *Server) ServeAdmin(l net.Listener) error { return s.serve(l, s.mux(nil)) }

// Serve serves TCP. It returns after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	var h http.Handler = s.mux(s.needToken)
	if s.cfg.Wrap != nil {
		h = s.cfg.Wrap(h)
	}
	return s.serve(l, h)
}

func (s *Server) serve(l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	s.mu.Lock()
	if s.closed { // before this listener had its turn
		s.mu.Unlock()
		return l.Close()
	}
	s.servers = append(s.servers, server)
	s.mu.Unlock()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting and waits for requests in flight until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, server := range s.servers {
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mux builds the handlers; guard, when set, stands before the admin API.
func (s *Server) mux(guard func(http.Handler) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	var api http.Handler = adminHandler(s.cfg.API, s.cfg.Version)
	if guard != nil {
		api = guard(api)
	}
	mux.Handle("/admin/", api)
	mux.Handle("/openapi.json", api)
	mux.Handle("GET /metrics", s.localOrToken(s.cfg.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	w.Write([]byte(text + "\n"))
}

// answerProblem answers with problem details (RFC 9457), as the API itself does.
func answerProblem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(code), "status": code, "detail": detail})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Ready(r.Context()); err != nil {
		answer(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, "ready")
}

// localOrToken lets clients on this machine pass: collectors of metrics. Others
// need the token.
func (s *Server) localOrToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || from.Addr().Unmap().IsLoopback() { // no address: the Unix socket
			next.ServeHTTP(w, r)
			return
		}
		s.needToken(next).ServeHTTP(w, r)
	})
}

// needToken asks for "Authorization: Bearer TOKEN" (RFC 6750 section 2.1).
func (s *Server) needToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || s.cfg.Token == "" || subtle.ConstantTimeCompare([]byte(given), []byte(s.cfg.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answerProblem(w, http.StatusUnauthorized, "this needs the token in admin.token of the data directory")
			return
		}
		next.ServeHTTP(w, r)
	})
}
