package imapd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/doortest"
	"posthouse/internal/logtest"
)

// A client that has gone does not keep the server at work: what it asked for is
// sent as it is made, and given up when nobody is there to take it.
func TestFetchEndsWithItsClient(t *testing.T) {
	var log logtest.Log
	seen := doortest.NewWatcher()
	h := newHouse(t, func(c *Config) { c.Log, c.Observer = log.Logger(), seen })
	c := h.login("INBOX")
	c.appendMail("INBOX", "", strings.Repeat("X: "+strings.Repeat("y", 900)+"\r\n", 1000)+"\r\nbody\r\n")
	var items strings.Builder
	for i := range 900 {
		fmt.Fprintf(&items, " BODY.PEEK[HEADER.FIELDS (F%03d)]", i)
	}
	c.send("x FETCH 1 (UID" + items.String() + ")\r\n")
	// Half a response: the rest is not ready.
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	must(t, c.c.Close())
	if end := seen.NextEnded(); end != "imap closed" {
		t.Errorf("ended %q", end)
	}
	must(t, h.srv.Shutdown(t.Context()))
	lines := log.Lines(slog.LevelInfo)
	if sent := lines[len(lines)-1].Attrs["sent"].(float64); sent > 15_000 {
		t.Errorf("%v bytes were sent after the client had gone", sent)
	}
}

// tickClock lets the test say when a waiting client is to hear of us.
type tickClock struct {
	testClock
	ticks chan time.Time
}

type tick <-chan time.Time

func (t tick) C() <-chan time.Time { return t }
func (tick) Stop() bool            { return true }

func (c tickClock) NewTimer(d time.Duration) clock.Timer {
	if d == stillEvery {
		return tick(c.ticks)
	}
	return c.testClock.NewTimer(d)
}

// slowBodies open when the test says so.
type slowBodies struct {
	blob.Store
	opening, open chan struct{}
}

func (b slowBodies) Open(ref blob.Ref) (blob.Body, error) {
	b.opening <- struct{}{}
	<-b.open
	return b.Store.Open(ref)
}

func TestLongSearchSaysSo(t *testing.T) {
	bodies := slowBodies{opening: make(chan struct{}), open: make(chan struct{})}
	store, db := doortest.StoreOn(t, t.TempDir(), clock.NewFake(now), 1<<20, func(s blob.Store) blob.Store {
		bodies.Store = s
		return bodies
	})
	ticks := make(chan time.Time)
	c := newHouseOn(t, store, db, func(c *Config) { c.Clock = tickClock{ticks: ticks} }).login("INBOX")
	c.appendMail("INBOX", "", simple)
	c.send("a SEARCH TEXT two\r\n")
	<-bodies.opening
	for range 2 {
		ticks <- now
		if l := c.line(); l != "* OK Still searching" {
			t.Errorf("%q", l)
		}
	}
	close(bodies.open)
	c.talk("S: * SEARCH 1\nS: a OK ~")
}

func TestLongWorkEndsWithItsClient(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Clock = tickClock{ticks: make(chan time.Time)} })
	ticks := h.srv.cfg.Clock.(tickClock).ticks
	server, other := net.Pipe()
	s := newSession(h.srv, doortest.Loopback{Conn: server})
	err := s.patiently("Still here", func(ctx context.Context) error {
		must(t, other.Close())
		ticks <- now
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, errAnswered) || s.err == nil || s.state != loggedOut {
		t.Errorf("%v, %v", err, s.err)
	}
}
