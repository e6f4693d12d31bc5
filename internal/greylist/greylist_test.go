package greylist

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/clock"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/smtp"
)

// post is a list over a store that outlives it, in a time of its own.
type post struct {
	*List
	t     *testing.T
	disk  vfs.FS
	db    *pebble.Store
	clock *clock.Fake
	opt   Options
}

func newPost(t *testing.T, learn int) *post {
	p := &post{t: t, disk: vfs.NewMem(), clock: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	p.opt = Options{
		Clock: p.clock, Domains: []smtp.DomainPattern{"example.test", "*.far.test"},
		Delay: 5 * time.Minute, Window: 24 * time.Hour, Lifetime: 36 * 24 * time.Hour, Learn: learn,
	}
	p.open()
	t.Cleanup(func() { p.db.Close() })
	return p
}

func (p *post) open() {
	p.t.Helper()
	db, err := pebble.Open("kv", pebble.Options{FS: p.disk})
	if err != nil {
		p.t.Fatal(err)
	}
	p.db, p.opt.DB = db, db
	p.List = New(p.opt)
}

// reopen is what a restart leaves: what Run writes at its end.
func (p *post) reopen() {
	p.t.Helper()
	if err := p.expire(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Run(ctx)
	if err := p.db.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.open()
}

// try makes an attempt and checks what becomes of it.
func (p *post) try(remote, from, to string, want Decision) {
	p.t.Helper()
	triplet := Triplet{Remote: netip.MustParseAddr(remote), To: address(p.t, to)}
	if from != "" {
		triplet.From = address(p.t, from)
	}
	got, err := p.Check(p.t.Context(), triplet)
	if err != nil || got != want {
		p.t.Errorf("%s %s %s: %+v, %v; want %+v", remote, from, to, got, err, want)
	}
}

func address(t *testing.T, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wait(d time.Duration) Decision { return Decision{Waiting, d} }

var passed = Decision{Result: Passed}

func TestComeAgain(t *testing.T) {
	p := newPost(t, 0)
	const me, them, us = "192.0.2.1", "a@remote.test", "alice@example.test"
	p.try(me, them, us, wait(5*time.Minute))
	p.clock.Advance(2 * time.Minute)
	p.try(me, them, us, wait(3*time.Minute))                  // too soon; the time is not lost
	p.try(me, them, "bob@example.test", wait(5*time.Minute))  // another recipient
	p.try(me, "b@remote.test", us, wait(5*time.Minute))       // another sender
	p.try(me, "", us, wait(5*time.Minute))                    // the null sender is one, too
	p.try("192.0.3.1", them, us, wait(5*time.Minute))         // another network
	p.try(me, them, "x@other.test", Decision{Result: Exempt}) // not protected
	p.try(me, them, "x@far.test", Decision{Result: Exempt})   // only what is below it
	p.try(me, them, "x@a.far.test", wait(5*time.Minute))      // here
	p.try("2001:db8:1:2::1", them, us, wait(5*time.Minute))   // IPv6 goes by /48
	p.try("2001:db8:1:9::5", them, us, wait(5*time.Minute))   // the same network
	p.try("::ffff:192.0.2.9", them, us, wait(3*time.Minute))  // IPv4, however written
	p.clock.Advance(3 * time.Minute)
	p.try("192.0.2.77", them, us, passed) // of the same network
	p.try(me, "A@REMOTE.test", "Alice@Example.TEST", passed)
	p.try(me, them, "bob@example.test", wait(2*time.Minute))
}

func TestTimes(t *testing.T) {
	p := newPost(t, 0)
	const me, them, us = "192.0.2.1", "a@remote.test", "alice@example.test"
	p.try(me, them, us, wait(5*time.Minute))
	p.clock.Advance(24*time.Hour + time.Second)
	p.try(me, them, us, wait(5*time.Minute)) // too late: it begins anew
	p.clock.Advance(24 * time.Hour)
	p.try(me, them, us, passed) // just in time
	for range 5 {
		p.clock.Advance(35 * 24 * time.Hour)
		p.try(me, them, us, passed) // each time counts
		p.reopen()
	}
	p.clock.Advance(36*24*time.Hour + time.Second)
	p.try(me, them, us, wait(5*time.Minute)) // forgotten
}

func TestLearning(t *testing.T) {
	p := newPost(t, 3)
	rcpt := func(i int) string { return fmt.Sprintf("r%d@example.test", i) }
	for i := range 3 {
		p.try("192.0.2.1", "a@remote.test", rcpt(i), wait(5*time.Minute))
		p.clock.Advance(5 * time.Minute)
		p.try("192.0.2.1", "a@remote.test", rcpt(i), passed)
		p.try("192.0.2.1", "a@remote.test", rcpt(i), known(i))
		if i == 1 {
			p.reopen() // the count is kept
		}
	}
	p.try("192.0.2.200", "new@remote.test", rcpt(9), Decision{Result: Known})
	p.try("192.0.3.200", "new@remote.test", rcpt(9), wait(5*time.Minute))
	p.reopen()
	for range 4 { // as long as it is heard of
		p.clock.Advance(30 * 24 * time.Hour)
		p.try("192.0.2.200", "newer@remote.test", rcpt(8), Decision{Result: Known})
	}
	p.reopen()
	p.clock.Advance(37 * 24 * time.Hour)
	p.try("192.0.2.200", "newest@remote.test", rcpt(8), wait(5*time.Minute))
}

// known is what the third triplet's second attempt finds.
func known(i int) Decision {
	if i == 2 {
		return Decision{Result: Known}
	}
	return passed
}

func TestRestart(t *testing.T) {
	p := newPost(t, 0)
	p.try("192.0.2.1", "a@remote.test", "alice@example.test", wait(5*time.Minute))
	p.reopen()
	p.clock.Advance(5 * time.Minute)
	p.try("192.0.2.1", "a@remote.test", "alice@example.test", passed)
	p.reopen()
	p.try("192.0.2.1", "a@remote.test", "alice@example.test", passed)
}

func (p *post) rows() (n int) {
	p.t.Helper()
	err := p.db.View(p.t.Context(), func(r kv.Reader) error {
		from := kv.NewKey(kv.Greylist)
		return r.Scan(from, from.End(), func(_, _ []byte) bool {
			n++
			return true
		})
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// What is too old goes, and what is not stays.
func TestExpiry(t *testing.T) {
	p := newPost(t, 1)
	for i := range 100 {
		p.try("192.0.2.1", "a@remote.test", fmt.Sprintf("r%d@example.test", i), wait(5*time.Minute))
	}
	p.clock.Advance(5 * time.Minute)
	p.try("192.0.2.1", "a@remote.test", "r1@example.test", passed)
	p.reopen()
	if n := p.rows(); n != 102 {
		t.Errorf("%d rows, want 100 waiting, one passed, one network", n)
	}
	p.clock.Advance(48 * time.Hour)
	p.reopen()
	if n := p.rows(); n != 2 {
		t.Errorf("%d rows after two days", n)
	}
	p.try("192.0.2.1", "b@remote.test", "r1@example.test", Decision{Result: Known})
	p.reopen()
	p.clock.Advance(50 * 24 * time.Hour)
	p.reopen()
	if n := p.rows(); n != 0 {
		t.Errorf("%d rows at the end", n)
	}
}

// A flood of new triplets goes to the store as it comes.
func TestFlood(t *testing.T) {
	p := newPost(t, 0)
	to := address(t, "alice@example.test")
	for i := range 2*maxPending + 10 {
		from := smtp.Address{Local: fmt.Sprint("s", i), Domain: "remote.test"}
		if _, err := p.Check(t.Context(), Triplet{netip.MustParseAddr("192.0.2.1"), from, to}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.pending); n != 10 {
		t.Errorf("%d rows wait to be written", n)
	}
	if n := p.rows(); n != 2*maxPending {
		t.Errorf("%d rows in the store", n)
	}
}

// tellingClock tells when a timer of writeAfter is armed.
type tellingClock struct {
	*clock.Fake
	armed chan struct{}
}

func (c tellingClock) NewTimer(d time.Duration) clock.Timer {
	t := c.Fake.NewTimer(d)
	if d == writeAfter {
		c.armed <- struct{}{}
	}
	return t
}

// Run writes by itself, a second after the first change.
func TestRun(t *testing.T) {
	p := newPost(t, 0)
	telling := tellingClock{p.clock, make(chan struct{})}
	p.opt.Clock = telling
	p.List = New(p.opt)
	changed, stop := p.db.Watch(kv.Greylist)
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	<-changed // the first expiry
	p.try("192.0.2.1", "a@remote.test", "alice@example.test", wait(5*time.Minute))
	<-telling.armed
	p.clock.Advance(writeAfter - 1)
	if n := p.rows(); n != 0 {
		t.Errorf("%d rows at once", n)
	}
	p.clock.Advance(1)
	for p.rows() == 0 {
		<-changed
	}
	cancel()
	running.Wait()
}

// Many sessions at a time, while rows are being written.
func TestConcurrency(t *testing.T) {
	p := newPost(t, 2)
	to := address(t, "alice@example.test")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			remote := netip.AddrFrom4([4]byte{192, 0, byte(i % 4), 1})
			for j := range 50 {
				from := smtp.Address{Local: fmt.Sprint("s", j%10), Domain: "remote.test"}
				if _, err := p.Check(t.Context(), Triplet{remote, from, to}); err != nil {
					t.Error(err)
				}
				if j%10 == 9 {
					p.clock.Advance(5 * time.Minute)
					if err := p.write(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		p.try(fmt.Sprintf("192.0.%d.1", i), "new@remote.test", "alice@example.test", Decision{Result: Known})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(record{time.UnixMilli(1_700_000_000_123), 7}.encode())
	f.Add([]byte{recordVersion + 1, 2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := decodeRecord(b)
		if again := decodeRecord(r.encode()); r.exists() && again != r {
			t.Fatalf("%x: %+v becomes %+v", b, r, again)
		}
	})
}
