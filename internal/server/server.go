package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"posthouse/internal/admin"
	"posthouse/internal/certs"
	"posthouse/internal/config"
	"posthouse/internal/courier"
	"posthouse/internal/dns"
	"posthouse/internal/greylist"
	"posthouse/internal/httpd"
	"posthouse/internal/intake"
	"posthouse/internal/journal"
	"posthouse/internal/queue"
	"posthouse/internal/smtp"
	"posthouse/internal/tlsreport"
)

// DrainTime is how long Stop waits for sessions and attempts in flight.
const DrainTime = 25 * time.Second

// journalKeep is how long stories of messages are kept.
const journalKeep = journal.DefaultKeep

// Options of Start.
type Options struct {
	Log     *slog.Logger
	Version string
	// Furnish runs on the open store before the doors open.
	Furnish func(context.Context, admin.API) error
	// Catch keeps mail for elsewhere in a mailbox here.
	Catch *Catch
}

// Catch names a mailbox that takes mail for elsewhere.
type Catch struct{ Address, Mailbox string }

// door is a protocol's server.
type door interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// Server is a running house.
type Server struct {
	cfg      *config.Config
	routed   *config.Config // whose routes and TLS rules are in use; Reload's
	opt      Options
	logins   logins
	log      *slog.Logger
	metrics  *metrics
	certs    *certs.Manager
	ground   *ground
	queue    *queue.Queue
	courier  *courier.Courier
	outbound *outboundTLS
	reports  *tlsreport.Sender // nil when none are sent
	greylist *greylist.List    // nil when no domain is protected
	intake   *intake.Intake
	inward   *intake.Inward
	api      *admin.House
	http     *httpd.Server
	doors    []door
	relimit  []func(*config.Config) // gives each its limits anew
	binds    []*binding
	ready    readiness

	failed  chan error
	stopBG  context.CancelFunc
	running sync.WaitGroup // listeners and background work
}

// Start brings a house up: it binds every port, drops privileges, opens the
// store, and opens the doors. On error nothing is left running.
func Start(ctx context.Context, cfg *config.Config, opt Options) (_ *Server, err error) {
	s := &Server{cfg: cfg, routed: cfg, opt: opt, log: opt.Log, metrics: newMetrics(), failed: make(chan error, 1), stopBG: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.undo())
		}
	}()
	if s.binds, err = bindAll(ctx, cfg); err != nil {
		return nil, err
	}
	// Certificate files may be root's alone; what is made or fetched must be its
	// who renews it.
	early := cfg.TLS.Mode == config.ModeFiles
	if early {
		if err := s.openCerts(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.dropPrivileges(); err != nil {
		return nil, err
	}
	if !early {
		if err := s.openCerts(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.openStore(ctx); err != nil {
		return nil, err
	}
	if err := s.openDoors(ctx); err != nil {
		return nil, err
	}
	s.log.Info("started", "version", opt.Version, "hostname", cfg.Hostname, "data", cfg.Data)
	if others := cfg.Passed(); len(others) > 0 {
		s.log.Warn("no key of the configuration has the name of these variables", "env", strings.Join(others, " "))
	}
	if len(s.binds) == 0 {
		s.log.Warn("nobody can send or read mail here: [listen] is empty")
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	return s, nil
}

// openCerts gets the certificate, and what else it takes to log in.
func (s *Server) openCerts(ctx context.Context) (err error) {
	if s.certs, err = newCerts(ctx, s.cfg, s.log); err != nil {
		return err
	}
	s.logins, err = s.newLogins()
	return err
}

// openStore opens the store and everything that moves mail.
func (s *Server) openStore(ctx context.Context) error {
	g, err := openWhenFree(ctx, s.cfg, s.log, groundOptions{create: true, observers: []journal.Observer{s.metrics.observeEvent}})
	if err != nil {
		return err
	}
	s.ground = g
	s.metrics.ground(g)
	resolver, err := newResolver(s.cfg)
	if err != nil {
		return err
	}
	if err := s.openQueue(ctx, resolver); err != nil {
		return err
	}
	s.api = g.house(s.queue, resolver, s.courier)
	if s.opt.Furnish != nil {
		if err := s.opt.Furnish(ctx, s.api); err != nil {
			return err
		}
	}
	if err := s.openIntake(ctx); err != nil {
		return err
	}
	if s.reports, err = s.newReports(resolver); err != nil {
		return err
	}
	return s.queue.Start(ctx)
}

func (s *Server) openQueue(ctx context.Context, resolver dns.Resolver) error {
	outbound, err := newOutboundTLS(s.cfg, resolver, s.ground, s.metrics)
	if err != nil {
		return err
	}
	s.outbound = outbound
	c, err := newCourier(s.cfg, resolver, outbound, s.log)
	if err != nil {
		return err
	}
	s.courier = c
	s.inward = intake.NewInward(c)
	notice := s.cfg.Outbound.DelayNotice.Duration
	if notice == 0 {
		notice = -1 // never
	}
	limits, err := outboundLimits(s.cfg)
	if err != nil {
		return err
	}
	s.queue = queue.New(queue.Options{
		Sources: queueSources(s.cfg), Limits: limits,
		DB: s.ground.db, Bodies: s.ground.bodies, Counts: s.ground.counts, Journal: s.ground.journal,
		Courier: s.inward, Clock: s.ground.clock, Log: s.log, Hostname: s.cfg.Hostname, Observer: s.metrics,
		FirstRetry: s.cfg.Outbound.Retry.Duration, ExpireAfter: s.cfg.Outbound.GiveUp.Duration, DelayNotice: notice,
	})
	s.metrics.registry.MustRegister(newTraffic(s.queue.Load))
	return nil
}

func (s *Server) openIntake(ctx context.Context) error {
	g := s.ground
	opt := intake.Options{
		DB: g.db, Counts: g.counts, Mailboxes: g.mailboxes, Directory: g.directory, Queue: s.queue,
		Journal: g.journal, Clock: g.clock, Log: s.log, Hostname: s.cfg.Hostname, Space: g.space,
		Bounds: intakeBounds(s.cfg), IsHere: isHere(s.cfg),
	}
	if c := s.opt.Catch; c != nil {
		addr, err := smtp.ParseAddress(c.Address)
		if err != nil {
			return err
		}
		account, err := g.directory.Account(ctx, addr)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Address, err)
		}
		opt.Catch = &intake.Catch{Account: account.ID, Mailbox: c.Mailbox}
	}
	s.intake = intake.New(opt)
	s.inward.SetIntake(s.intake)
	s.queue.SetReporter(s.intake)
	return nil
}

// openDoors serves every bound listener, the admin socket among them.
func (s *Server) openDoors(ctx context.Context) error {
	token, err := adminToken(filepath.Join(s.cfg.Data, tokenName))
	if err != nil {
		return err
	}
	s.http = httpd.New(httpd.Config{
		API: s.api, Version: s.opt.Version, Metrics: s.metrics.handler(), Ready: s.isReady,
		Token: token, Wrap: s.certs.HTTPChallenge, Log: s.log,
	})
	socket, err := bindSocket(ctx, SocketPath(s.cfg.Data))
	if err != nil {
		return err
	}
	s.serve("admin", socket, s.http.ServeAdmin)
	s.greylist = newGreylist(s.cfg, s.ground)
	servers := s.newDoors()
	for _, b := range s.binds {
		s.serve(b.name, b.listener, servers[b.name])
		b.listener = nil // the door closes it
	}
	background, cancel := context.WithCancel(context.Background())
	s.stopBG = cancel
	s.running.Go(func() { s.watchStore(background) })
	s.running.Go(func() { s.housekeep(background) })
	s.running.Go(func() { s.watchSpace(background) })
	s.running.Go(func() { s.outbound.keep(background) })
	if s.reports != nil {
		s.running.Go(func() { s.outbound.counter.Run(background) })
		s.running.Go(func() { s.reports.Run(background) })
	}
	if s.greylist != nil {
		s.running.Go(func() { s.greylist.Run(background) })
	}
	return nil
}

// serve runs a listener until its door shuts down. That it ends before is a
// failure of the house.
func (s *Server) serve(name string, l net.Listener, serve func(net.Listener) error) {
	s.ready.add(name)
	s.running.Go(func() {
		err := serve(l)
		if s.ready.done(name) || err == nil {
			return
		}
		s.fail(fmt.Errorf("%s listener: %w", name, err))
	})
}

func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Failed delivers the error that makes the house unable to go on, such as a
// failed disk. Stop is still to be called.
func (s *Server) Failed() <-chan error { return s.failed }

// watchStore waits for the end of the store's health.
func (s *Server) watchStore(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.ground.db.Failed():
		err := advise(s.ground.db.Err())
		s.log.Error("the store failed: no mail is accepted any more", "err", err.Error())
		s.fail(err)
	}
}

// spaceEvery is how soon the log tells that the disk has filled, or has room again,
// when nobody brings mail.
const spaceEvery = 5 * time.Second

// watchSpace looks at the disk now and then, for the log and for the ballast.
func (s *Server) watchSpace(ctx context.Context) {
	for {
		_ = s.ground.space.Low()
		s.ground.space.Load()
		t := s.ground.clock.NewTimer(spaceEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C():
		}
	}
}

// API is what can be done to the house.
func (s *Server) API() admin.API { return s.api }

// Config is what the house runs with.
func (s *Server) Config() *config.Config { return s.cfg }

// Stop closes the doors, waits for what is in flight for at most DrainTime, and
// closes the store.
func (s *Server) Stop() error {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	s.log.Info("stopping")
	err := s.undo()
	s.log.Info("stopped", "err", err)
	return err
}

// undo takes down whatever is up, top down.
func (s *Server) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), DrainTime)
	defer cancel()
	if s.ground != nil && s.ground.db != nil {
		s.ground.db.Hurry() // on a full disk sessions may wait for ever
	}
	s.ready.stop()
	var mu sync.Mutex
	var errs []error
	var late sync.Once
	note := func(err error) {
		if errors.Is(err, context.DeadlineExceeded) {
			late.Do(func() { s.log.Warn("cutting off what is in flight still", "after", DrainTime) })
		} else if err != nil {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
	}
	var shutting sync.WaitGroup
	for _, d := range s.doors {
		shutting.Go(func() { note(d.Shutdown(ctx)) })
	}
	if s.queue != nil {
		shutting.Go(func() { note(s.queue.Close(ctx)) })
	}
	shutting.Wait()
	if s.http != nil {
		note(s.http.Shutdown(ctx))
	}
	for _, b := range s.binds {
		if b.listener != nil {
			note(b.listener.Close())
		}
	}
	s.stopBG()
	s.running.Wait()
	if s.courier != nil {
		s.courier.Close()
	}
	if s.outbound != nil {
		s.outbound.close()
	}
	if s.certs != nil {
		note(s.certs.Close())
	}
	if s.ground != nil {
		note(s.ground.close())
	}
	return errors.Join(errs...)
}

// adminToken reads the token of the admin API, and makes it the first time.
func adminToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		token := strings.ToLower(rand.Text())
		return token, os.WriteFile(path, []byte(token+"\n"), privateMode)
	}
	return strings.TrimSpace(string(b)), err
}
