package e2e

import (
	"bufio"
	"bytes"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// Sink is a host elsewhere: an SMTP server that takes everything and remembers
// the X-Token of what it took.
type Sink struct {
	Addr   string
	habits Habits
	l      net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	taken map[string]int
	seen  map[string]int // how often each recipient was asked for
	begun int            // messages begun
}

// Habits are what is odd about a host; the zero value takes everything at once.
type Habits struct {
	// Rcpt answers when a recipient is asked for the nth time, from 1; "" takes it.
	Rcpt func(to string, n int) string
	// HangUp says whether to end the connection within the nth message.
	HangUp func(n int) bool
	// Slow trickles replies, and the last one of a message waits for Open.
	Slow bool
	Open <-chan struct{}
}

// NewSink starts a sink on a port of ip.
func NewSink(t testing.TB, ip string) *Sink {
	return NewSinkAt(t, net.JoinHostPort(ip, "0"), Habits{})
}

// NewSinkAt starts a sink on addr.
func NewSinkAt(t testing.TB, addr string, habits Habits) *Sink {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{
		Addr: l.Addr().String(), habits: habits, l: l,
		conns: make(map[net.Conn]struct{}), taken: make(map[string]int), seen: make(map[string]int),
	}
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *Sink) close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Taken is how often each token was taken.
func (s *Sink) Taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.taken))
	for k, v := range s.taken {
		out[k] = v
	}
	return out
}

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			s.serve(c)
		})
	}
}

func (s *Sink) serve(c net.Conn) {
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(line string) { s.say(c, line) }
	say("220 sink.test ESMTP")
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, arg, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "EHLO":
			say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600")
		case "RCPT":
			say(s.rcpt(strings.ToLower(arg)))
		case "DATA":
			say("354 go on")
			if !s.content(r) {
				return
			}
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// say writes a reply, a slow host in pieces.
func (s *Sink) say(c net.Conn, line string) {
	out := []byte(line + "\r\n")
	for s.habits.Slow && len(out) > 1 {
		c.Write(out[:1])
		out = out[1:]
		time.Sleep(time.Millisecond) // it is slow
	}
	c.Write(out)
}

// rcpt answers "to:<address>".
func (s *Sink) rcpt(arg string) string {
	_, to, _ := strings.Cut(arg, "<")
	to, _, _ = strings.Cut(to, ">")
	s.mu.Lock()
	s.seen[to]++
	n := s.seen[to]
	s.mu.Unlock()
	if s.habits.Rcpt != nil {
		if reply := s.habits.Rcpt(to, n); reply != "" {
			return reply
		}
	}
	return "250 ok"
}

// content takes a message; false when the connection is to end.
func (s *Sink) content(r *textproto.Reader) bool {
	s.mu.Lock()
	s.begun++
	n := s.begun
	s.mu.Unlock()
	if s.habits.HangUp != nil && s.habits.HangUp(n) {
		r.ReadLine() // the message has begun
		return false
	}
	body, err := r.ReadDotBytes()
	if err != nil {
		return false
	}
	if s.habits.Open != nil {
		<-s.habits.Open
	}
	s.mu.Lock()
	s.taken[TokenOf(body)]++
	s.mu.Unlock()
	return true
}

// TokenOf finds the X-Token field of a message; "" when there is none.
func TokenOf(msg []byte) string {
	_, rest, ok := bytes.Cut(msg, []byte("X-Token: "))
	if !ok {
		return ""
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(line))
}
