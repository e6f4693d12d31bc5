package mailbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/space"
)

// ground is a Store on the real engines.
type ground struct {
	*Store
	t     testing.TB
	dir   string
	index vfs.FS     // that the index is on; nil: in dir
	disk  faultfs.FS // that the bodies are on; nil: the machine's
	db    kv.Store
	body  blob.Store
	refs  *refs.Counter
	clock *sweeperClock
	quota int64
	space *space.Reserve
}

// sweeperClock tells when the sweeper has begun to wait for its next look.
type sweeperClock struct {
	*clock.Fake
	waits chan struct{} // holds a value, but for looks that nobody followed
}

func newSweeperClock() *sweeperClock {
	return &sweeperClock{clock.NewFake(time.Unix(1_800_000_000, 0)), make(chan struct{}, 1)}
}

func (c *sweeperClock) NewTimer(d time.Duration) clock.Timer {
	t := c.Fake.NewTimer(d)
	if d == lookEvery {
		select {
		case c.waits <- struct{}{}:
		default:
		}
	}
	return t
}

// look lets the sweeper look once, and returns when it has done what it found.
func (c *sweeperClock) look() {
	<-c.waits
	c.Advance(lookEvery)
	<-c.waits
	c.waits <- struct{}{}
}

// newGround is a ground whose disk need not be waited for.
func newGround(t testing.TB) *ground {
	return groundOn(t, vfs.NewMem(), faultfs.NewDisk())
}

// newDiskGround is a ground on the machine's disk.
func newDiskGround(t testing.TB) *ground { return groundOn(t, nil, nil) }

func groundOn(t testing.TB, index vfs.FS, disk faultfs.FS) *ground {
	g := &ground{index: index, disk: disk, t: t, dir: t.TempDir(), clock: newSweeperClock()}
	g.open()
	t.Cleanup(g.close)
	return g
}

func (g *ground) open() {
	g.t.Helper()
	db, err := pebble.Open(filepath.Join(g.dir, "kv"), pebble.Options{FS: g.index, Space: g.space})
	g.must(err)
	bodies, err := segment.Open(filepath.Join(g.dir, "blob"), segment.Options{FS: g.disk, Space: g.space})
	g.must(err)
	g.db, g.body, g.refs = db, bodies, refs.New(bodies)
	g.clock.waits = make(chan struct{}, 1) // for the sweeper of this run
	g.Store, err = Open(db, bodies, g.refs, Options{
		Clock: g.clock, Space: g.space,
		Quota: func(context.Context, id.Account) (int64, error) { return g.quota, nil },
	})
	g.must(err)
}

func (g *ground) close() {
	g.must(g.Store.Close())
	g.must(g.db.Close())
	g.must(g.body.Close())
}

// reopen is a clean restart.
func (g *ground) reopen() {
	g.close()
	g.open()
}

func (g *ground) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// create makes an account.
func (g *ground) create(acct id.Account) {
	g.t.Helper()
	g.must(g.db.Update(g.t.Context(), kv.Partitions{kv.AccountPartition(uint64(acct))}, func(tx kv.Tx) error {
		return g.CreateTx(tx, acct)
	}))
}

func (g *ground) account(acct id.Account) *Account {
	g.t.Helper()
	a, err := g.Account(g.t.Context(), acct)
	g.must(err)
	g.t.Cleanup(a.Release)
	return a
}

// store makes a body durable.
func (g *ground) store(text string) Stored {
	g.t.Helper()
	stored, err := storeBody(g.t.Context(), g.Store, text)
	g.must(err)
	return stored
}

func storeBody(ctx context.Context, s *Store, text string) (Stored, error) {
	in, err := s.NewIncoming(ctx)
	if err != nil {
		return Stored{}, err
	}
	defer in.Abort()
	if _, err := in.Write([]byte(text)); err != nil {
		return Stored{}, err
	}
	return in.Commit(ctx, []byte("{}"))
}

// deliver files one message, as intake does.
func (g *ground) deliver(acct id.Account, box, text string) Delivered {
	g.t.Helper()
	done, err := deliver(g.t.Context(), g.Store, g.db, g.refs, acct, box, text)
	g.must(err)
	return done
}

func deliver(ctx context.Context, s *Store, db kv.Store, counts *refs.Counter, acct id.Account, box, text string) (done Delivered, err error) {
	stored, err := storeBody(ctx, s, text)
	if err != nil {
		return done, err
	}
	parts := kv.Partitions{kv.AccountPartition(uint64(acct)), refs.Partition(stored.Ref)}
	err = db.Update(ctx, parts, func(tx kv.Tx) (err error) {
		if err := counts.AddTx(tx, stored.Ref, 1); err != nil {
			return err
		}
		done, err = s.DeliverTx(tx, Delivery{Account: acct, Mailbox: box, Stored: stored})
		return err
	})
	s.Published(acct)
	return done, err
}

// fill puts n messages that share one body into a mailbox, many to a transaction.
func (g *ground) fill(acct id.Account, box string, n int) {
	g.t.Helper()
	stored := g.store(mail("filler", "hello"))
	parts := kv.Partitions{kv.AccountPartition(uint64(acct)), refs.Partition(stored.Ref)}
	for n > 0 {
		page := min(n, 500)
		g.must(g.db.Update(g.t.Context(), parts, func(tx kv.Tx) error {
			if err := g.refs.AddTx(tx, stored.Ref, page); err != nil {
				return err
			}
			for range page {
				if _, err := g.DeliverTx(tx, Delivery{Account: acct, Mailbox: box, Stored: stored}); err != nil {
					return err
				}
			}
			return nil
		}))
		n -= page
	}
	g.Published(acct)
}

func (g *ground) box(a *Account, name string) *Mailbox {
	g.t.Helper()
	m, err := a.Open(g.t.Context(), name)
	g.must(err)
	g.t.Cleanup(m.Close)
	return m
}

// verify fails the test for every problem that Verify finds.
func (g *ground) verify() {
	g.t.Helper()
	g.must(g.Verify(g.t.Context(), func(p string) { g.t.Error(p) }))
}

// mail is a small message.
func mail(subject, body string) string {
	return fmt.Sprintf("From: Ann <ann@example.test>\r\nTo: bob@example.test\r\nSubject: %s\r\nMessage-ID: <%s@example.test>\r\n\r\n%s\r\n",
		subject, strings.ReplaceAll(subject, " ", "."), body)
}

func uidsOf(s *Snapshot) []uint32 {
	var out []uint32
	for _, e := range s.Range(0, s.Len()) {
		out = append(out, e.UID)
	}
	return out
}

func one(uid uint32) UIDSet { return UIDSet{{uid, uid}} }

var everything = UIDSet{{1, 1<<32 - 1}}
