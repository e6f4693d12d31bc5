package queue

import (
	"bufio"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/journal"
)

// forgetful is an SMTP server that takes every message, and hangs up instead of
// saying so for the first drops of them.
type forgetful struct {
	ln    net.Listener
	mu    sync.Mutex
	drops int
	taken int
	wg    sync.WaitGroup
}

func newForgetful(t *testing.T, drops int) *forgetful {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &forgetful{ln: ln, drops: drops}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *forgetful) serve(c net.Conn) {
	defer c.Close()
	say := func(text string) { c.Write([]byte(text + "\r\n")) }
	say("220 forgetful.example")
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		switch verb := lines.Text(); {
		case verb == "DATA":
			say("354 go on")
			for lines.Scan() && lines.Text() != "." {
			}
			s.mu.Lock()
			s.taken++
			drop := s.taken <= s.drops
			s.mu.Unlock()
			if drop {
				return
			}
			say("250 2.0.0 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// A server that takes the message and hangs up before it says so: the message is
// tried again, it arrives twice and not three times, and the journal tells both
// that the first try may have succeeded and that the second may be a duplicate.
func TestDropAfterTheFinalDot(t *testing.T) {
	s := newForgetful(t, 1)
	h := newHouse(t)
	done := make(chan journal.Event, 10)
	j := journal.Open(h.db, clock.System{}, slog.New(slog.DiscardHandler), func(e *journal.Event) { done <- *e })
	c := courierTo(t, s.ln.Addr().String())
	defer c.Close()
	opt := h.opt
	opt.Journal, opt.Courier, opt.FirstRetry = j, c, 10*time.Millisecond
	h.q = New(opt)
	h.start()
	h.enqueue(h.letterTo("a@one.net"))
	var story []journal.Event
	for len(story) < 2 {
		story = append(story, <-done)
	}
	h.stop()
	first, second := story[0], story[1]
	if first.Kind != journal.Attempted || first.Detail["uncertain"] == "" || first.Detail["class"] != "network" ||
		first.Detail["stage"] != "end-of-data" || !strings.Contains(first.Text, "before the server confirmed it") {
		t.Errorf("the first try: %+v", first)
	}
	if second.Kind != journal.Relayed || second.Detail["repeated"] != "possibly delivered before" {
		t.Errorf("the second try: %+v", second)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken != 2 {
		t.Errorf("the message arrived %d times", s.taken)
	}
	h.empty()
}
