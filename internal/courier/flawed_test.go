package courier

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"posthouse/internal/classify"
	"posthouse/internal/nettest"
)

// flaw is what a flawed peer does in place of its answer at one stage.
type flaw string

const (
	hangUp    flaw = "hangs up"
	reset     flaw = "resets"
	stall     flaw = "stalls"
	garbage   flaw = "talks nonsense"
	mixed     flaw = "mixes codes in one reply"
	endless   flaw = "never ends its reply"
	longLine  flaw = "sends an endless line"
	half      flaw = "sends half a reply"
	misplaced flaw = "gives the answer to another command"
	twice     flaw = "answers twice"
	temporary flaw = "refuses for now"
	permanent flaw = "refuses for good"
	shuts     flaw = "shuts down"
)

// lossy are the flaws that end the dialogue without an answer.
var lossy = []flaw{hangUp, reset, stall, garbage, mixed, endless, longLine, half, misplaced}

// flawedPeer is a server that does everything well but one thing.
type flawedPeer struct {
	ln    net.Listener
	ext   []string
	tls   *tls.Config
	stage classify.Stage
	flaw  flaw

	mu     sync.Mutex
	healed bool
	dialed int
	stuck  chan struct{} // closed and renewed when a session falls silent

	wg    sync.WaitGroup
	taken map[string]int // by content, see messages
	acked map[string]int
}

func newFlawed(t *testing.T, stage classify.Stage, f flaw, ext ...string) *flawedPeer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &flawedPeer{
		ln: ln, ext: ext, stage: stage, flaw: f, stuck: make(chan struct{}), taken: make(map[string]int), acked: make(map[string]int),
	}
	t.Cleanup(p.end)
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() {
				defer c.Close()
				s := &flawedSession{p: p, c: c, in: bufio.NewReader(c), out: c}
				s.serve()
			})
		}
	})
	return p
}

// end waits for the sessions, which the courier must have ended, and so for what
// they still have in their buffers.
func (p *flawedPeer) end() {
	p.ln.Close()
	p.wg.Wait()
}

// messages is how many came whole, and how many of them were answered with 250. It is
// known after end. The line end at the end does not count: DATA adds one.
func (p *flawedPeer) messages(content string) (taken, acked int) {
	content = strings.TrimSpace(content)
	return p.taken[content], p.acked[content]
}

func (p *flawedPeer) addr() netip.AddrPort { return netip.MustParseAddrPort(p.ln.Addr().String()) }

// dial connects to the peer. Where it stalls, time passes at once.
func (p *flawedPeer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	p.dialed++
	stuck := p.stuck
	p.mu.Unlock()
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return nettest.Hurry(c, stuck), nil
}

// stall says nothing more on a connection.
func (p *flawedPeer) stall(c net.Conn) {
	p.mu.Lock()
	close(p.stuck)
	p.stuck = make(chan struct{})
	p.mu.Unlock()
	c.(*net.TCPConn).CloseWrite()
}

func (p *flawedPeer) heal() {
	p.mu.Lock()
	p.healed = true
	p.mu.Unlock()
}

// flawAt is what goes wrong at a stage now; "" is nothing.
func (p *flawedPeer) flawAt(stage classify.Stage) flaw {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stage != p.stage || p.healed {
		return ""
	}
	return p.flaw
}

// connections is how many were asked for.
func (p *flawedPeer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialed
}

type flawedSession struct {
	p    *flawedPeer
	c    net.Conn
	in   *bufio.Reader
	out  io.Writer
	mail bool
	rcpt bool
}

// say answers, or does what the flaw is. ok: the session goes on; good: the
// answer was given as it should be.
func (s *flawedSession) say(stage classify.Stage, answer string) (ok, good bool) {
	text := answer + "\r\n"
	f := s.p.flawAt(stage)
	switch f {
	case "":
		_, err := io.WriteString(s.out, text)
		return err == nil, err == nil
	case twice:
		_, err := io.WriteString(s.out, text+text)
		return err == nil, err == nil
	case temporary:
		_, err := io.WriteString(s.out, "450 4.2.0 not now\r\n")
		return err == nil, false
	case permanent:
		_, err := io.WriteString(s.out, "554 5.7.1 never\r\n")
		return err == nil, false
	case reset:
		s.c.(*net.TCPConn).SetLinger(0)
		return false, false
	case endless, longLine:
		piece := "250-and on\r\n"
		if f == longLine {
			piece = strings.Repeat("on and on ", 1000)
		}
		for {
			if _, err := io.WriteString(s.out, piece); err != nil {
				return false, f == endless // the code was there
			}
		}
	case stall:
		s.p.stall(s.c)
	case hangUp:
		return false, false
	}
	io.WriteString(s.out, map[flaw]string{
		garbage: "what is it that you want\r\n", mixed: "250-one\r\n550 two\r\n", half: answer[:2], misplaced: "221 bye\r\n",
		shuts: "421 4.3.2 shutting down\r\n",
	}[f])
	if f != half && f != shuts {
		io.Copy(io.Discard, s.in) // until the other side has enough
	}
	return false, false
}

func (s *flawedSession) serve() {
	if ok, _ := s.say(classify.StageGreeting, "220 peer.example"); !ok {
		return
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		if !s.command(strings.Fields(strings.ToUpper(line))) {
			return
		}
	}
}

// command does one; false ends the session.
func (s *flawedSession) command(words []string) (ok bool) {
	if len(words) == 0 {
		return false
	}
	var good bool
	switch words[0] {
	case "EHLO":
		ok, _ = s.say(classify.StageEHLO, s.hello())
	case "STARTTLS":
		if ok, good = s.say(classify.StageTLS, "220 go on"); good {
			c := tls.Server(s.c, s.p.tls)
			if c.Handshake() != nil {
				return false
			}
			s.in, s.out = bufio.NewReader(c), c
		}
	case "MAIL":
		ok, s.mail = s.say(classify.StageMail, "250 2.1.0 ok")
	case "RCPT":
		if !s.mail {
			_, err := io.WriteString(s.out, "503 5.5.1 no MAIL\r\n")
			return err == nil
		}
		ok, s.rcpt = s.say(classify.StageRcpt, "250 2.1.5 ok")
	case "DATA":
		if !s.rcpt {
			_, err := io.WriteString(s.out, "503 5.5.1 no RCPT\r\n")
			return err == nil
		}
		if ok, good = s.say(classify.StageData, "354 go on"); good {
			content, err := readData(s.in)
			return err == nil && s.message(content)
		}
	case "BDAT":
		n, _ := strconv.Atoi(words[1])
		content := make([]byte, n)
		if _, err := io.ReadFull(s.in, content); err != nil {
			return false
		}
		if !s.rcpt {
			_, err := io.WriteString(s.out, "503 5.5.1 no RCPT\r\n")
			return err == nil
		}
		return s.message(string(content))
	case "QUIT":
		io.WriteString(s.out, "221 bye\r\n")
		return false
	default: // HELO, RSET
		s.mail, s.rcpt = false, false
		_, err := io.WriteString(s.out, "250 ok\r\n")
		return err == nil
	}
	return ok
}

func (s *flawedSession) hello() string {
	list := append([]string{"peer.example"}, s.p.ext...)
	if s.p.tls != nil && s.out == io.Writer(s.c) {
		list = append(list, "STARTTLS")
	}
	return "250-" + strings.Join(list[:len(list)-1], "\r\n250-") + "\r\n250 " + list[len(list)-1]
}

// message answers the content.
func (s *flawedSession) message(content string) bool {
	s.mail, s.rcpt = false, false
	content = strings.TrimSpace(content)
	s.p.mu.Lock()
	s.p.taken[content]++
	s.p.mu.Unlock()
	ok, good := s.say(classify.StageEndOfData, "250 2.0.0 taken")
	if good {
		s.p.mu.Lock()
		s.p.acked[content]++
		s.p.mu.Unlock()
	}
	return ok
}
