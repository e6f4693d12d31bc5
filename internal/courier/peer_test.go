package courier

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
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
				p.serve(c)
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

func (p *peer) serve(c net.Conn) {
	r := bufio.NewReader(c)
	w := bufio.NewWriter(c)
	say := func(s string) {
		io.WriteString(w, s+"\r\n")
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
	greeting := p.greeting
	if greeting == "" {
		greeting = "220 peer.example"
	}
	say(greeting)
	var m got
	var mail bool
	finish := func(data string, tls bool) {
		m.data, m.tls = data, tls
		p.mu.Lock()
		n := len(p.messages)
		reply := ""
		if p.judge != nil {
			reply = p.judge(&m)
		}
		if reply == "" && p.onData != nil {
			reply = p.onData(n)
		}
		if reply == "" {
			reply = "250 2.0.0 taken"
		}
		if reply[0] == '2' {
			p.messages = append(p.messages, m)
		}
		p.mu.Unlock()
		m, mail = got{}, false
		if reply == "hangup" {
			c.Close()
			return
		}
		say(reply)
	}
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(line)
		p.mu.Lock()
		p.log = append(p.log, line)
		p.mu.Unlock()
		if reply, ok := p.answer(verb); ok {
			if reply == "hangup" {
				w.Flush()
				return
			}
			say(reply)
			continue
		}
		switch word, _, _ := strings.Cut(verb, " "); word {
		case "EHLO":
			lines := append([]string{"peer.example"}, p.ext...)
			if p.tls != nil || p.badTLS {
				if !secure {
					lines = append(lines, "STARTTLS")
				}
			}
			for i, l := range lines {
				sep := "-"
				if i == len(lines)-1 {
					sep = " "
				}
				say("250" + sep + l)
			}
		case "HELO":
			say("250 peer.example")
		case "STARTTLS":
			say("220 go ahead")
			w.Flush()
			if p.badTLS {
				io.WriteString(c, "this is no handshake\r\n")
				io.Copy(io.Discard, r) // closed over unread input it would be reset
				return
			}
			tc := tls.Server(c, p.tls)
			if tc.Handshake() != nil {
				return
			}
			secure = true
			r.Reset(tc)
			w.Reset(tc)
		case "MAIL":
			if mail {
				say("503 5.5.1 nested MAIL")
				continue
			}
			mail, m.from = true, line[len("MAIL FROM:"):]
			say("250 2.1.0 ok")
		case "RCPT":
			to := line[len("RCPT TO:"):]
			reply := "250 2.1.5 ok"
			if p.rcpt != nil {
				reply = p.rcpt(to)
			}
			if reply[0] == '2' {
				m.rcpts = append(m.rcpts, to)
			}
			say(reply)
		case "DATA":
			if len(m.rcpts) == 0 {
				say("554 5.5.1 no valid recipients")
				continue
			}
			say("354 go on")
			w.Flush()
			if p.hangData {
				r.ReadString('\n')
				io.WriteString(c, p.lastWords)
				c.(*net.TCPConn).CloseWrite()
				io.CopyN(io.Discard, r, 1<<20)
				return
			}
			data, err := readData(r)
			if err != nil {
				return
			}
			finish(data, secure)
		case "BDAT":
			f := strings.Fields(verb)
			n, _ := strconv.Atoi(f[1])
			data := make([]byte, n)
			if _, err := io.ReadFull(r, data); err != nil {
				return
			}
			if len(m.rcpts) == 0 {
				say("554 5.5.1 no valid recipients")
				continue
			}
			finish(string(data), secure)
		case "RSET":
			m, mail = got{}, false
			say("250 2.0.0 ok")
		case "AUTH":
			if verb == "AUTH LOGIN" {
				for _, prompt := range []string{"VXNlcm5hbWU6", "UGFzc3dvcmQ6"} {
					say("334 " + prompt)
					answer, _ := r.ReadString('\n')
					p.mu.Lock()
					p.log[len(p.log)-1] += " " + strings.TrimSpace(answer)
					p.mu.Unlock()
				}
			}
			say("235 2.7.0 welcome")
		case "QUIT":
			say("221 bye")
			w.Flush()
			return
		default:
			say("500 5.5.2 what?")
		}
	}
}

func (p *peer) answer(verb string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for prefix, reply := range p.answers {
		if strings.HasPrefix(verb, prefix) {
			return reply, true
		}
	}
	return "", false
}

// readData reads to CRLF.CRLF and undoes the stuffing, in the simplest way.
func readData(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		start := b.Len() == 0 || strings.HasSuffix(b.String(), "\r\n")
		if start && line == ".\r\n" {
			return b.String(), nil
		}
		if start && strings.HasPrefix(line, ".") {
			line = line[1:]
		}
		b.WriteString(line)
	}
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

// fakeDNS is a map of records.
type fakeDNS struct {
	mx   map[string][]dns.MX
	ip   map[string][]netip.Addr
	fail map[string]bool
}

func (d *fakeDNS) LookupMX(_ context.Context, name string) ([]dns.MX, dns.Answer, error) {
	if d.fail[name] {
		return nil, dns.Answer{}, dns.ErrTemporary
	}
	if mx := d.mx[name]; mx != nil {
		return mx, dns.Answer{TTL: time.Hour}, nil
	}
	return nil, dns.Answer{}, fmt.Errorf("%w: %s", dns.ErrNotFound, name)
}

func (d *fakeDNS) LookupIP(_ context.Context, name string) ([]netip.Addr, dns.Answer, error) {
	if d.fail[name] {
		return nil, dns.Answer{}, dns.ErrTemporary
	}
	if ip := d.ip[name]; ip != nil {
		return ip, dns.Answer{TTL: time.Hour}, nil
	}
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupTXT(context.Context, string) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupTLSA(context.Context, string) ([]dns.TLSA, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupCNAME(context.Context, string) (string, dns.Answer, error) {
	return "", dns.Answer{}, dns.ErrNotFound
}

func (d *fakeDNS) LookupPTR(context.Context, netip.Addr) ([]string, dns.Answer, error) {
	return nil, dns.Answer{}, dns.ErrNotFound
}

// selfSigned makes a certificate that nobody trusts.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"}, DNSNames: []string{"peer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// newCourier sends mail for example.net to the peer by MX, unless opt says else. It
// is patient: no test waits for it, and none is to fail on a machine that is slow.
func newCourier(t *testing.T, p *peer, change ...func(*Options)) *Courier {
	t.Helper()
	opt := Options{Hostname: "us.example.test", Idle: time.Hour, DeadHost: time.Hour, Timeouts: patient, Rules: rules(t)}
	if p != nil {
		opt.Port = p.addr().Port()
		opt.Resolver = &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 10, Host: "mx.example.net"}}},
			ip: map[string][]netip.Addr{"mx.example.net": {p.addr().Addr()}},
		}
	}
	for _, f := range change {
		f(&opt)
	}
	c := New(opt)
	t.Cleanup(c.Close)
	return c
}

// rules are the standard ones, read once.
func rules(t *testing.T) *classify.Table {
	t.Helper()
	table, err := standard()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var standard = sync.OnceValues(classify.Standard)

var patient = Timeouts{
	Connect: time.Hour, Greeting: time.Hour, Mail: time.Hour, DataInit: time.Hour, DataBlock: time.Hour, DataDone: time.Hour,
	LastWords: time.Hour, Quit: time.Hour, TLS: time.Hour,
}

func rcpts(list ...string) []envelope.Rcpt {
	var out []envelope.Rcpt
	for _, s := range list {
		a, err := smtp.ParseAddress(s)
		if err != nil {
			panic(err)
		}
		out = append(out, envelope.Rcpt{To: a})
	}
	return out
}

// send delivers text to recipients, all at the domain of the first.
func send(t *testing.T, c *Courier, text string, to ...string) []Outcome {
	t.Helper()
	return transfer(t, c, &Transfer{Rcpts: rcpts(to...)}, text)
}

func transfer(t *testing.T, c *Courier, x *Transfer, text string) []Outcome {
	t.Helper()
	route, err := c.Resolve(t.Context(), x.Rcpts[0].To.Domain)
	if err != nil {
		t.Fatal(err)
	}
	x.Route, x.Body, x.Size = route, strings.NewReader(text), int64(len(text))
	if x.From.IsZero() {
		x.From = smtp.Address{Local: "alice", Domain: "example.test"}
	}
	return c.Deliver(t.Context(), x)
}

func wantCodes(t *testing.T, outs []Outcome, codes ...int) {
	t.Helper()
	if len(outs) != len(codes) {
		t.Fatalf("%d outcomes, want %d", len(outs), len(codes))
	}
	for i, o := range outs {
		if o.Code != codes[i] {
			t.Errorf("recipient %d: %d %s %s, want %d", i, o.Code, o.Enhanced, o.Text, codes[i])
		}
	}
}
