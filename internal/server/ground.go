// Package server builds the house from its parts and runs it: store, doors,
// queue, TLS, lifecycle. It is the only package that knows everything.
package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"posthouse/internal/admin"
	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/config"
	"posthouse/internal/directory"
	"posthouse/internal/dns"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailbox"
	"posthouse/internal/queue"
	"posthouse/internal/space"
)

// FormatVersion is the version of what is written to disk. A store of a newer
// version is not opened.
const FormatVersion = 1

// The places in the data directory.
const (
	indexDir    = "index"
	bodiesDir   = "bodies"
	certsDir    = "tls"
	socketName  = "admin.sock"
	tokenName   = "admin.token"
	ballastName = "ballast"
	dirMode     = 0o700
	privateMode = 0o600
)

// SocketPath is where a server with this data directory listens for commands.
func SocketPath(data string) string { return filepath.Join(data, socketName) }

// ErrNewerFormat means that the store was written by a newer Posthouse.
var ErrNewerFormat = errors.New("the store was written by a newer posthouse")

// ErrNoStore means that there is no store yet.
var ErrNoStore = errors.New("no store here")

// ErrIndexLost means that there are bodies without an index.
var ErrIndexLost = errors.New("the index is gone and the bodies are there: run posthouse rebuild")

// ErrBodiesLost means that there is an index without its bodies.
var ErrBodiesLost = errors.New("the index is there and the bodies are gone: put them back, from a copy of the data directory if need be")

// advise adds what helps when the index is damaged.
func advise(err error) error {
	if errors.Is(err, pebble.ErrDamaged) && !errors.As(err, new(advised)) {
		return advised{err}
	}
	return err
}

// advised is an error with advice.
type advised struct{ error }

func (e advised) Error() string {
	return e.error.Error() + ": posthouse rebuild makes the index again from the bodies"
}

func (e advised) Unwrap() error { return e.error }

// hasBodies reports whether there is a segment in the body log.
func hasBodies(data string) bool {
	found, err := filepath.Glob(filepath.Join(data, bodiesDir, "*.seg"))
	return err == nil && len(found) > 0
}

// ground is an open store with everything that lives on it but moves no mail.
type ground struct {
	cfg       *config.Config
	log       *slog.Logger
	trust     *trust
	clock     clock.Clock
	space     *space.Reserve
	db        *pebble.Store
	bodies    *segment.Store
	counts    *refs.Counter
	journal   *journal.Journal
	mailboxes *mailbox.Store
	directory *directory.Directory
	mine      io.Closer // a server's alone, of the data directory
}

// groundOptions of openGround.
type groundOptions struct {
	create    bool   // make a store where there is none
	index     string // directory of the index in the data directory; default "index"
	rebuild   bool   // the index is incomplete: never ask it which bodies are alive
	observers []journal.Observer
}

// WhileBusy tries again for some time while another process has the store: a command
// is done in a moment, a server that starts has its socket soon.
func WhileBusy(ctx context.Context, patience time.Duration, try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if !errors.Is(err, pebble.ErrLocked) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// commandsTake is how long a command may have the store of a house that does not run,
// while a server waits for it.
const commandsTake = time.Minute

// openWhenFree is openGround for a server: a command may have the store just now.
func openWhenFree(ctx context.Context, cfg *config.Config, log *slog.Logger, opt groundOptions) (g *ground, err error) {
	mine, err := claim(cfg.Data)
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", cfg.Data, err)
	}
	waits := false
	err = WhileBusy(ctx, commandsTake, func() error {
		g, err = openGround(ctx, cfg, log, opt)
		if errors.Is(err, pebble.ErrLocked) && !waits {
			waits = true
			log.Info("another program has the store open: waiting for it")
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, mine.Close())
	}
	g.mine = mine
	return g, nil
}

// openGround opens the store.
func openGround(ctx context.Context, cfg *config.Config, log *slog.Logger, opt groundOptions) (_ *ground, err error) {
	g := &ground{cfg: cfg, log: log, trust: newTrust(cfg), clock: clock.System{}}
	defer func() {
		if err != nil {
			err = errors.Join(advise(err), g.close())
		}
	}()
	if opt.index == "" {
		opt.index = indexDir
	}
	index := filepath.Join(cfg.Data, opt.index)
	if _, err := os.Stat(index); errors.Is(err, os.ErrNotExist) && !opt.rebuild {
		switch {
		case hasBodies(cfg.Data):
			// An empty index beside them would call every body dead.
			return nil, fmt.Errorf("%s: %w", cfg.Data, ErrIndexLost)
		case !opt.create:
			return nil, fmt.Errorf("%s: %w", cfg.Data, ErrNoStore)
		}
	}
	if err := makePrivate(cfg.Data, index); err != nil {
		return nil, err
	}
	if err := g.openSpace(index); err != nil {
		return nil, err
	}
	g.db, err = pebble.Open(index, pebble.Options{Logger: log, CacheSize: cfg.Store.Cache.Bytes(), Space: g.space})
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", cfg.Data, err)
	}
	if err := checkFormat(ctx, g.db); err != nil {
		return nil, err
	}
	if err := g.checkBodies(ctx); err != nil {
		return nil, err
	}
	if err := g.openBodies(opt.rebuild); err != nil {
		return nil, err
	}
	g.journal = journal.Open(g.db, g.clock, log, opt.observers...)
	if err := g.openDomain(ctx, opt.rebuild); err != nil {
		return nil, err
	}
	return g, nil
}

// makePrivate makes the data directory and that of the index. The data directory may
// be there and open to others; the index, which has the passwords' hashes, never is.
func makePrivate(data, index string) error {
	if err := os.MkdirAll(data, dirMode); err != nil {
		return err
	}
	if err := os.Mkdir(index, dirMode); err == nil || !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Stat(index)
	if err != nil || info.Mode().Perm()&^dirMode == 0 {
		return err
	}
	return os.Chmod(index, dirMode)
}

// openSpace watches the disks on which the index and the bodies are.
func (g *ground) openSpace(index string) error {
	bodies := filepath.Join(g.cfg.Data, bodiesDir)
	if err := os.MkdirAll(bodies, dirMode); err != nil {
		return err
	}
	reserve := g.cfg.Store.Reserve.Bytes()
	if g.cfg.Store.Reserve == config.AutoReserve {
		reserve = space.Auto
	}
	g.space = space.New(space.Options{Clock: g.clock, Log: g.log, Dirs: []string{index, bodies}, Reserve: reserve, Ballast: filepath.Join(g.cfg.Data, ballastName)})
	g.space.Jettison()
	return nil
}

// checkBodies refuses an index that knows of bodies where there is not one.
func (g *ground) checkBodies(ctx context.Context) error {
	if hasBodies(g.cfg.Data) {
		return nil
	}
	return g.db.View(ctx, func(r kv.Reader) error {
		known := false
		err := refs.Scan(r, func(blob.Ref, int) bool {
			known = true
			return false
		})
		if known {
			return fmt.Errorf("%s: %w", filepath.Join(g.cfg.Data, bodiesDir), ErrBodiesLost)
		}
		return err
	})
}

func (g *ground) openBodies(rebuild bool) error {
	var err error
	g.bodies, err = segment.Open(filepath.Join(g.cfg.Data, bodiesDir), segment.Options{
		Logger: g.log, SegmentSize: g.cfg.Store.Segment.Bytes(), Space: g.space,
	})
	if err != nil {
		return fmt.Errorf("open the bodies: %w", err)
	}
	g.counts = refs.New(g.bodies)
	if !rebuild {
		g.bodies.SetLive(func(ref blob.Ref) (bool, error) {
			return refs.Live(context.Background(), g.db, ref)
		})
	}
	return nil
}

// openDomain opens what the house keeps: mailboxes and directory.
func (g *ground) openDomain(ctx context.Context, rebuild bool) error {
	ahead := time.Duration(0)
	if rebuild {
		// Many mailboxes made at one time have run ahead of the clock by a second each.
		ahead = time.Hour
	}
	var err error
	g.mailboxes, err = mailbox.Open(g.db, g.bodies, g.counts, mailbox.Options{
		Clock: g.clock, Recoverable: g.cfg.Store.Recoverable.Duration,
		MaxMessageSize: g.cfg.Limits.MessageSize.Bytes() + traceRoom, EpochAhead: ahead, Space: g.space,
		Quota: func(ctx context.Context, acct id.Account) (int64, error) {
			a, err := g.directory.AccountByID(ctx, acct)
			return a.Quota, err
		},
	})
	if err != nil {
		return fmt.Errorf("open the mailboxes: %w", err)
	}
	g.directory, err = directory.Open(ctx, g.db, directory.Options{
		Clock: g.clock, HashMemory: g.cfg.Auth.HashMemory.Bytes(), CacheFor: g.cfg.Auth.CacheFor.Duration,
		Trusted: g.trust.has, Bodies: g.bodies, Counts: g.counts,
		OnCreate: g.mailboxes.CreateTx,
	})
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	return nil
}

// traceRoom is what intake writes before a message of the largest size, in bytes.
const traceRoom = 4 << 10

// close closes what is open, top down.
func (g *ground) close() error {
	var errs []error
	if g.mailboxes != nil {
		errs = append(errs, g.mailboxes.Close())
	}
	if g.directory != nil {
		errs = append(errs, g.directory.Close())
	}
	if g.bodies != nil {
		errs = append(errs, g.bodies.Close())
	}
	if g.db != nil {
		errs = append(errs, g.db.Close())
	}
	if g.mine != nil {
		errs = append(errs, g.mine.Close())
	}
	return errors.Join(errs...)
}

func formatKey() kv.Key { return kv.NewKey(kv.StorePartition).String("format") }

// checkFormat writes the version into a new store and refuses a newer one.
func checkFormat(ctx context.Context, db kv.Store) error {
	return db.Update(ctx, kv.Partitions{kv.StorePartition}, func(tx kv.Tx) error {
		v, err := tx.Get(formatKey())
		switch {
		case errors.Is(err, kv.ErrNotFound):
			return tx.Set(formatKey(), binary.BigEndian.AppendUint32(nil, FormatVersion))
		case err != nil:
			return err
		case len(v) != 4:
			return fmt.Errorf("format version of %d bytes", len(v))
		}
		if n := binary.BigEndian.Uint32(v); n > FormatVersion {
			return fmt.Errorf("%w: format %d, this one reads up to %d", ErrNewerFormat, n, FormatVersion)
		}
		return nil
	})
}

// house is the admin API over this ground.
func (g *ground) house(q queue.Admin, resolver dns.Resolver, router admin.Router) *admin.House {
	return &admin.House{
		Hostname: g.cfg.Hostname, Directory: g.directory, Mailboxes: g.mailboxes, Queues: q,
		Journal: g.journal, DB: g.db, Resolver: resolver, Router: router,
	}
}
