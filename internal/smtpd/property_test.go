package smtpd

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// pipes is a listener whose connections keep every write of the client apart: one
// read sees no more than one write.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), over: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return fromAfar{c, netip.MustParseAddrPort("192.0.2.7:4321")}, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

// pipeAddr is no address of any network.
type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// dial connects and takes the greeting.
func (p *pipes) dial(t *testing.T) *peer {
	t.Helper()
	client, server := net.Pipe()
	p.conns <- server
	t.Cleanup(func() { client.Close() })
	c := newPeer(t, client)
	c.want("220 ")
	return c
}

// dialPipes starts a server on pipes and connects to it.
func dialPipes(t *testing.T, cfg Config, h Handler) *peer {
	t.Helper()
	l := newPipes()
	serveOn(t, l, cfg, h)
	return l.dial(t)
}

// pieces is what bodies are made of: all that means something to a server, alone
// and next to each other, and what fills its buffers.
func pieces(bare bool) *rapid.Generator[string] {
	all := []string{
		"\r\n", "\r\n", "\r\n", ".", "..", "\r\n.", "\r\n..", "\r\n.\r\n", "\r\n\r\n", "a", "word ", "\x00", "\xff\xfe", "\t", "MAIL FROM:<x@y.test>\r\n", "QUIT\r\n", "BDAT 5 LAST\r\n",
		strings.Repeat("x", 998), strings.Repeat("long", 1100), strings.Repeat(".\r\n", 30), strings.Repeat("y", contentBuffer-3),
	}
	if bare {
		all = append(all, "\r", "\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r\r\n")
	}
	return rapid.SampledFrom(all)
}

func drawBody(t *rapid.T, bare bool) []byte {
	return []byte(strings.Join(rapid.SliceOfN(pieces(bare), 0, 30).Draw(t, "pieces"), ""))
}

// drawCuts are the sizes in which octets go out, over and over.
func drawCuts(t *rapid.T, label string) []int {
	size := rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 100), rapid.IntRange(1, 3*contentBuffer))
	return rapid.SliceOfN(size, 1, 8).Draw(t, label)
}

// cut calls fn with p in pieces of the given sizes; tiny ones grow in the end, so
// that a large body is not sent octet by octet.
func cut(p []byte, sizes []int, fn func(part []byte, last bool)) {
	for i := 0; ; i++ {
		n := min(len(p), sizes[i%len(sizes)]*(1+i*i/10_000))
		fn(p[:n], n == len(p))
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
}

// stuffed is a body as DATA has it, with its end; lines are what <CRLF> makes.
func stuffed(body []byte) []byte {
	wire := bytes.ReplaceAll(body, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(wire, []byte(".")) {
		wire = append([]byte("."), wire...)
	}
	return append(wire, ".\r\n"...)
}

// TestBytesDelivered is the property: whatever the body, and however it is cut
// into writes and chunks, what is delivered is what was sent, once, and the
// session is in step afterwards.
func TestBytesDelivered(t *testing.T) {
	for _, rule := range []Newlines{RefuseBare, AcceptBare} {
		for _, transport := range []string{"TCP", "pipe"} {
			t.Run(fmt.Sprintf("%v %s", map[Newlines]string{RefuseBare: "refuse", AcceptBare: "accept"}[rule], transport), func(t *testing.T) {
				h := &house{}
				var p *peer
				if transport == "TCP" {
					_, addr := serve(t, Config{Newlines: rule, Limits: Limits{Errors: -1, Messages: -1}}, h)
					p = dial(t, addr)
				} else {
					p = dialPipes(t, Config{Newlines: rule, Limits: Limits{Errors: -1, Messages: -1}}, h)
				}
				p.do("EHLO client.test", "250")
				rapid.Check(t, func(t *rapid.T) { deliver(t, p, h, rule) })
			})
		}
	}
}

// deliver sends one message and compares.
func deliver(t *rapid.T, p *peer, h *house, rule Newlines) {
	body := drawBody(t, rapid.Bool().Draw(t, "bare"))
	chunked := rapid.Bool().Draw(t, "BDAT")
	if !chunked && !bytes.HasSuffix(body, []byte("\r\n")) && len(body) > 0 {
		body = append(body, "\r\n"...)
	}
	p.do("MAIL FROM:<s@remote.test>", "250 2.1.0")
	p.do("RCPT TO:<alice@example.test>", "250 2.1.5")
	before := len(h.all())
	var reply string
	if chunked {
		reply = p.sendChunked(body, drawCuts(t, "chunks"), drawCuts(t, "writes"))
	} else {
		p.do("DATA", "354")
		cut(stuffed(body), drawCuts(t, "writes"), func(part []byte, _ bool) { p.send(string(part)) })
		reply = p.reply()
	}
	p.do("RCPT TO:<x@y.test>", "503") // in step, and no transaction open
	got := h.all()[before:]
	if rule == RefuseBare && isBare(body) {
		if len(got) != 0 || !strings.HasPrefix(reply, "550 5.6.11") && !strings.HasPrefix(reply, "503") {
			t.Fatalf("%d messages, %q", len(got), reply)
		}
		return
	}
	if len(got) != 1 || !strings.HasPrefix(reply, "250 2.0.0 Ok: queued") || !bytes.Equal(got[0].body, body) {
		t.Fatalf("%d messages, %q; or other octets than were sent", len(got), reply)
	}
}

// sendChunked sends a body by BDAT without waiting for replies, commands and
// chunks alike cut into writes, and gives the last reply.
func (p *peer) sendChunked(body []byte, chunks, writes []int) string {
	var wire bytes.Buffer
	n := 0
	cut(body, chunks, func(part []byte, last bool) {
		mark := ""
		if last {
			mark = " LAST"
		}
		fmt.Fprintf(&wire, "BDAT %d%s\r\n%s", len(part), mark, part)
		n++
	})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		cut(wire.Bytes(), writes, func(part []byte, _ bool) { p.conn.Write(part) })
	}()
	reply := ""
	for range n {
		reply = p.reply()
	}
	<-sent
	return reply
}
