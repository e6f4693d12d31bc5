package courier

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

// manners are the ways to send a message. What is sent where there is CHUNKING has no
// line end at its end, so that it goes by BDAT.
var manners = map[string][]string{
	"stepwise": {"SIZE"}, "pipelined": {"PIPELINING"}, "chunks": {"CHUNKING"}, "all": {"PIPELINING", "CHUNKING"},
}

// Every flaw at every stage, in every manner of sending: nothing is taken for
// success that is none, nothing is given up that may succeed, the outcome says
// at what stage it was, and when the peer has recovered the message arrives.
func TestEveryFailure(t *testing.T) {
	stages := []classify.Stage{
		classify.StageGreeting, classify.StageEHLO, classify.StageTLS, classify.StageMail,
		classify.StageRcpt, classify.StageData, classify.StageEndOfData,
	}
	flaws := append(slices.Clone(lossy), twice, temporary, permanent, shuts)
	certificate := selfSigned(t)
	for name, ext := range manners {
		for _, stage := range stages {
			for _, f := range flaws {
				if stage == classify.StageData && slices.Contains(ext, "CHUNKING") {
					continue // there is no DATA
				}
				t.Run(fmt.Sprintf("%s/%s/%s", name, stage, f), func(t *testing.T) {
					t.Parallel()
					p := newFlawed(t, stage, f, ext...)
					p.tls = certificate
					testFailure(t, p)
				})
			}
		}
	}
}

func testFailure(t *testing.T, p *flawedPeer) {
	chunked := slices.Contains(p.ext, "CHUNKING")
	first, second := hello, hello+"again\r\n"
	if chunked {
		first, second = strings.TrimSpace(first), strings.TrimSpace(second)
	}
	want := expect(p.stage, p.flaw, chunked)
	c := courierTo(t, p)
	o := send(t, c, first, "a@example.net")[0]
	conns := p.connections()
	p.heal()
	if o := send(t, c, second, "a@example.net")[0]; !o.Sent() {
		t.Errorf("after the peer has recovered: %d %s", o.Code, o.Text)
	}
	c.Close()
	p.end()
	taken, acked := p.messages(first)
	if o.Sent() != (acked > 0) && !(acked > 0 && o.Uncertain) {
		t.Errorf("the outcome is %d %s, the peer has confirmed %d messages", o.Code, o.Text, acked)
	}
	if o.Sent() != want.sent || o.Permanent() != want.permanent || o.Uncertain != want.uncertain {
		t.Errorf("sent %v, permanent %v, uncertain %v; want %+v: %+v", o.Sent(), o.Permanent(), o.Uncertain, want, o)
	}
	if !o.Sent() {
		testUnsent(t, p, o)
	}
	if later, _ := p.messages(second); taken > 1 || conns > 2 || later != 1 {
		t.Errorf("%d connections and %d messages in one attempt, then %d", conns, taken, later)
	}
}

// testUnsent looks at what an outcome tells of a message that did not go out.
func testUnsent(t *testing.T, p *flawedPeer, o Outcome) {
	t.Helper()
	if o.Class == "" || o.Action == "" || o.Stage == "" || o.Text == "" || o.Host == "" {
		t.Errorf("the outcome does not say enough: %+v", o)
	}
	if p.flaw == reset && o.Stage == classify.StageConnect {
		// It came before the system said that the connection is there.
	} else if p.stage != classify.StageTLS && p.flaw != twice && o.Stage != p.stage {
		t.Errorf("stage %s: %+v", o.Stage, o)
	}
	if silent := slices.Contains(lossy, p.flaw); silent && !slices.Contains([]classify.Class{classify.NetworkFailure, classify.Protocol, classify.TLS}, o.Class) {
		t.Errorf("class %s", o.Class)
	}
}

type expected struct{ sent, permanent, uncertain bool }

// expect is what a flaw at a stage should come to.
func expect(stage classify.Stage, f flaw, chunked bool) expected {
	before := stage == classify.StageGreeting || stage == classify.StageEHLO
	switch {
	case stage == classify.StageTLS:
		// The alternative is to send in clear. Two answers to STARTTLS are one
		// too many: in the handshake.
		return expected{sent: true}
	case f == permanent && stage == classify.StageEHLO:
		return expected{sent: true} // an old server: HELO
	case f == permanent:
		return expected{permanent: !before}
	case f == temporary, f == shuts:
		return expected{}
	case f == twice && stage == classify.StageEndOfData:
		// After DATA the first answer is the one. To BDAT it may be one too many, and
		// is not believed.
		return expected{sent: !chunked, uncertain: chunked}
	case f == endless && stage == classify.StageEndOfData:
		return expected{sent: true} // its first line says it
	}
	return expected{uncertain: stage == classify.StageEndOfData}
}

// courierTo sends mail for example.net to a flawed peer.
func courierTo(t *testing.T, p *flawedPeer) *Courier {
	c := New(Options{
		Hostname: "us.example.test", Port: p.addr().Port(), Timeouts: patient, Rules: rules(t), Dialer: dialFunc(p.dial),
		Resolver: &fakeDNS{
			mx: map[string][]dns.MX{"example.net": {{Preference: 10, Host: "mx.example.net"}}},
			ip: map[string][]netip.Addr{"mx.example.net": {p.addr().Addr()}},
		},
	})
	t.Cleanup(c.Close)
	return c
}

// 450 and then 550: the first try is repeated, the second ends it.
func TestTemporaryThenPermanent(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0", "PIPELINING")
	n := 0
	p.rcpt = func(string) string {
		if n++; n == 1 {
			return "450 4.2.1 busy"
		}
		return "550 5.1.1 no such user"
	}
	p.start()
	c := newCourier(t, p)
	if o := send(t, c, hello, "a@example.net")[0]; !o.Temporary() {
		t.Errorf("%+v", o)
	}
	if o := send(t, c, hello, "a@example.net")[0]; !o.Permanent() || p.connections() != 1 {
		t.Errorf("%+v over %d connections", o, p.connections())
	}
}

// endlessBody is longer than what any system holds for a server that does not read.
type endlessBody struct{}

func (endlessBody) ReadAt(p []byte, at int64) (int, error) {
	const line = "a line\r\n"
	for i := range p {
		p[i] = line[(at+int64(i))%int64(len(line))]
	}
	return len(p), nil
}

// A server that has enough in the middle of the content may say why before it
// hangs up; one that reads no more is given up in time.
func TestFailureInContent(t *testing.T) {
	const stalls = "it reads no more"
	for words, want := range map[string]struct {
		code  int
		class classify.Class
	}{
		"552 5.3.4 enough\r\n":     {552, classify.MessageTooBig},
		"421 4.3.2 going down\r\n": {421, classify.System},
		"":                         {451, classify.NetworkFailure},
		stalls:                     {451, classify.NetworkFailure},
	} {
		t.Run(strings.TrimSpace(words), func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, "127.0.0.1:0", "PIPELINING")
			p.lastWords = words
			p.hangData = words != stalls
			p.start()
			c := newCourier(t, p)
			if words == stalls {
				c.opt.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, addr)
					return nettest.Stall(nc, 100_000), err
				})
			}
			route, err := c.Resolve(t.Context(), "example.net")
			if err != nil {
				t.Fatal(err)
			}
			x := &Transfer{Rcpts: rcpts("a@example.net"), Route: route, Body: endlessBody{}, Size: 1 << 40}
			o := c.Deliver(t.Context(), x)[0]
			if o.Code != want.code || o.Class != want.class || o.Stage != classify.StageEndOfData || o.Uncertain {
				t.Errorf("%+v", o)
			}
		})
	}
}
