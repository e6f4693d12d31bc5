package e2e

import (
	"bufio"
	"bytes"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
)

// Sink is a host elsewhere: an SMTP server that takes everything and remembers
// the X-Token of what it took.
type Sink struct {
	Addr string
	l    net.Listener
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	taken map[string]int
}

// NewSink starts a sink on ip.
func NewSink(t testing.TB, ip string) *Sink {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Addr: l.Addr().String(), l: l, taken: make(map[string]int), conns: make(map[net.Conn]struct{})}
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
	say := func(line string) { c.Write([]byte(line + "\r\n")) }
	say("220 sink.test ESMTP")
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "EHLO":
			say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600")
		case "DATA":
			say("354 go on")
			body, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.taken[TokenOf(body)]++
			s.mu.Unlock()
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
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
