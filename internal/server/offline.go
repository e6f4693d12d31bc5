package server

import (
	"context"
	"errors"
	"log/slog"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/courier"
	"posthouse/internal/dns"
	"posthouse/internal/queue"
)

// OfflineOptions of OpenOffline.
type OfflineOptions struct {
	// Create makes a store where there is none.
	Create bool
}

// Offline is a house whose doors are closed: the store, open for one command.
type Offline struct {
	ground   *ground
	queue    *queue.Queue
	outbound *outboundTLS
	courier  *courier.Courier // finds ways and carries nothing
	api      *admin.House
}

// OpenOffline opens the store of a house that does not run.
func OpenOffline(ctx context.Context, cfg *config.Config, log *slog.Logger, opt OfflineOptions) (*Offline, error) {
	g, err := openGround(ctx, cfg, log, groundOptions{create: opt.Create})
	if err != nil {
		return nil, err
	}
	g.db.Hurry() // a command does not wait for room on a full disk
	resolver, err := newResolver(cfg)
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	q := queue.New(queue.Options{
		DB: g.db, Bodies: g.bodies, Counts: g.counts, Journal: g.journal, Clock: g.clock, Log: log, Hostname: cfg.Hostname,
	})
	o := &Offline{ground: g, queue: q}
	if o.outbound, err = newOutboundTLS(cfg, resolver, g, newMetrics()); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if o.courier, err = newCourier(cfg, resolver, o.outbound, log); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	o.api = g.house(q, resolver, o.courier)
	return o, nil
}

// API is what can be done to the house.
func (o *Offline) API() admin.API { return o.api }

// Close closes the store.
func (o *Offline) Close() error {
	if o.courier != nil {
		o.courier.Close()
	}
	if o.outbound != nil {
		o.outbound.close()
	}
	return o.ground.close()
}

// newResolver asks the configured servers, or the system's.
func newResolver(cfg *config.Config) (dns.Resolver, error) {
	return dns.NewClient(dns.Options{Servers: cfg.DNS.Servers, TrustAD: cfg.DNS.Validating})
}
