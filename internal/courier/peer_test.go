package courier

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// peer is a scripted SMTP server on loopback.
type peer struct {
	t  *testing.T
	ln net.Listener
	at netip.AddrPort

	ext       []string          // offered in EHLO
	greeting  string            // default "220 peer"
	answers   map[string]string // by command prefix, upper case: a reply, or "hangup"
	rcpt      func(addr string) string
	tls       *tls.Config
	badTLS    bool               // answers STARTTLS with 220 and then garbage
	onData    func(n int) string // the reply after content; "" is 250
	hangData  bool               // hangs up in the middle of the content
	lastWords string             // with hangData: said before
	atData    func(*got) string  // a refusal of DATA by what came before; "" is none
	judge     func(*got) string  // the reply to a message by what it is; "" asks onData

	mu       sync.Mutex
	conns    int
	live     map[net.Conn]bool
	log      []string
	messages []got
	wg       sync.WaitGroup
}

// got is a message that a peer took.
type got struct {
	from  string
	rcpts []string
	data  string
	tls   bool
}

func newPeer(t *testing.T, addr string, ext ...string) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return peerOn(t, ln, ext...)
}

func peerOn(t *testing.T, ln net.Listener, ext ...string) *peer {
	return &peer{t: t, ln: ln, at: netip.MustParseAddrPort(ln.Addr().String()), ext: ext, answers: map[string]string{}, live: map[net.Conn]bool{}}
}

// newPeers are two at one port of two addresses.
func newPeers(t *testing.T, ext ...string) (p, q *peer) {
	t.Helper()
	for {
		p = newPeer(t, "127.0.0.1:0", ext...)
		ln, err := net.Listen("tcp", beside(p))
		if err == nil {
			return p, peerOn(t, ln, ext...)
		}
		p.ln.Close() // the other one is taken
	}
}

// beside is the port of p at another address.
func beside(p *peer) string { return fmt.Sprintf("127.0.0.2:%d", p.addr().Port()) }

func (p *peer) start() *peer {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		for {
			c, err := p.ln.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns++
			p.live[c] = true
			p.mu.Unlock()
			p.wg.Add(1)
			go func() {
				defer p.wg.Done()
				(&peerSession{p: p, c: c, r: bufio.NewReader(c), w: bufio.NewWriter(c)}).serve()
				c.Close()
				p.mu.Lock()
				delete(p.live, c)
				p.mu.Unlock()
			}()
		}
	}()
	p.t.Cleanup(p.stop)
	return p
}

func (p *peer) stop() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.live {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *peer) addr() netip.AddrPort { return p.at }

// note adds a line to what was said.
func (p *peer) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, line)
}

// answer is what a test has set for a command.
func (p *peer) answer(verb string) (string, bool) {
	for prefix, reply := range p.answers {
		if strings.HasPrefix(verb, prefix) {
			return reply, true
		}
	}
	return "", false
}

// take keeps a message, if it is to be confirmed, and gives the reply to it.
func (p *peer) take(m *got) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := ""
	if p.judge != nil {
		reply = p.judge(m)
	}
	if reply == "" && p.onData != nil {
		reply = p.onData(len(p.messages))
	}
	if reply == "" {
		reply = "250 2.0.0 taken"
	}
	if reply[0] == '2' {
		p.messages = append(p.messages, *m)
	}
	return reply
}

func (p *peer) received() []got {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]got(nil), p.messages...)
}

func (p *peer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

func (p *peer) commands() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}
