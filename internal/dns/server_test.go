package dns_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

// counting serves d and counts the queries, each of which first goes to before.
func counting(t *testing.T, d *nettest.DNS, before func(n int64, w wire.ResponseWriter, m *wire.Msg) (answered bool)) (string, *atomic.Int64) {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var queries atomic.Int64
	started := make(chan struct{})
	srv := &wire.Server{PacketConn: p, NotifyStartedFunc: func() { close(started) }}
	srv.Handler = wire.HandlerFunc(func(w wire.ResponseWriter, m *wire.Msg) {
		n := queries.Add(1)
		if before != nil && before(n, w, m) {
			return
		}
		d.ServeDNS(w, m)
	})
	var ended sync.WaitGroup
	ended.Go(func() { _ = srv.ActivateAndServe() })
	<-started
	t.Cleanup(func() {
		_ = srv.Shutdown()
		ended.Wait()
	})
	return p.LocalAddr().String(), &queries
}

// unreachable is a UDP port that nobody answers at, and nobody else can take: it
// hears one peer only.
func unreachable(t *testing.T) string {
	t.Helper()
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	c, err := net.Dial("udp", peer.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// silence is a connection to a server that never answers: who waits with a
// deadline finds that it has passed, who has none waits until it is closed.
type silence struct {
	net.Conn
	deadline bool
}

func (c *silence) SetDeadline(t time.Time) error {
	c.deadline = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *silence) Read(p []byte) (int, error) {
	if !c.deadline {
		return c.Conn.Read(p)
	}
	return 0, os.ErrDeadlineExceeded
}

func TestServersInTurn(t *testing.T) {
	d := nettest.NewDNS(records())
	good := nettest.ServeDNS(t, d)
	refuse := func(rcode int) string {
		addr, _ := counting(t, d, func(_ int64, w wire.ResponseWriter, m *wire.Msg) bool {
			r := new(wire.Msg)
			r.SetRcode(m, rcode)
			_ = w.WriteMsg(r)
			return true
		})
		return addr
	}
	servers := []string{refuse(wire.RcodeServerFailure), refuse(wire.RcodeRefused), unreachable(t), good}
	c := newClient(t, dns.Options{Servers: servers})
	if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 {
		t.Errorf("with one good server: %v, %v", txt, err)
	}
	// Behind a server that is silent the next one is asked.
	silent, _ := counting(t, d, func(int64, wire.ResponseWriter, *wire.Msg) bool { return true })
	calls := 0
	hush := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if addr == silent {
			calls++
			conn = &silence{Conn: conn}
		}
		return conn, err
	}
	c = newClient(t, dns.Options{Servers: append(slices.Clone(servers[:3]), silent, good)})
	c.SetDial(hush)
	if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 {
		t.Errorf("behind a silent server: %v, %v", txt, err)
	}
	// Without a good one all are asked twice.
	calls = 0
	c = newClient(t, dns.Options{Servers: append(servers[:3], silent)})
	c.SetDial(hush)
	if _, _, err := c.LookupTXT(t.Context(), "example.org"); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, os.ErrDeadlineExceeded) || calls != 2 {
		t.Errorf("without a good server: %v, the silent one was asked %d times", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.LookupTXT(ctx, "example.org"); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestForgedAnswersAreNotHeard(t *testing.T) {
	d := nettest.NewDNS(records())
	addr, _ := counting(t, d, func(_ int64, w wire.ResponseWriter, m *wire.Msg) bool {
		forge := func(change func(*wire.Msg)) {
			f := new(wire.Msg)
			f.SetRcode(m, wire.RcodeNameError)
			change(f)
			_ = w.WriteMsg(f)
		}
		forge(func(f *wire.Msg) { f.Id++ })
		forge(func(f *wire.Msg) { f.Question[0].Name = "other.org." })
		forge(func(f *wire.Msg) { f.Question[0].Qtype = wire.TypeA })
		forge(func(f *wire.Msg) { f.Question = nil })
		forge(func(f *wire.Msg) { f.Response = false })
		_, _ = w.Write([]byte("noise"))
		m.Question[0].Name = "eXaMpLe.ORG." // case does not count
		return false
	})
	c := newClient(t, dns.Options{Servers: []string{addr}})
	if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 {
		t.Errorf("%v, %v", txt, err)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	d := nettest.NewDNS(records())
	addr, queries := counting(t, d, func(_ int64, w wire.ResponseWriter, m *wire.Msg) bool {
		if m.IsEdns0() == nil {
			return false
		}
		r := new(wire.Msg)
		r.SetRcode(m, wire.RcodeFormatError)
		_ = w.WriteMsg(r)
		return true
	})
	c := newClient(t, dns.Options{Servers: []string{addr}})
	if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 || queries.Load() != 2 {
		t.Errorf("%v, %v, %d queries", txt, err, queries.Load())
	}
}

// TestStopsAtAliases goes on by itself where a server tells of an alias only; what
// comes is authenticated when every step is (RFC 7672 section 2.1.3).
func TestStopsAtAliases(t *testing.T) {
	d := nettest.NewDNS(nettest.Records{
		CNAME: map[string]string{"one.org": "two.org", "two.org": "three.org", "loose.org": "three.org", "a.loop": "b.loop", "b.loop": "a.loop", "none.org": "nowhere.org"},
		TXT:   map[string][]string{"three.org": {"here"}}, Authenticated: map[string]bool{"one.org": true, "two.org": true, "three.org": true},
	})
	addr, _ := counting(t, d, func(_ int64, w wire.ResponseWriter, m *wire.Msg) bool {
		name := strings.TrimSuffix(m.Question[0].Name, ".")
		target, ans, err := d.LookupCNAME(t.Context(), name)
		if err != nil {
			return false
		}
		r := new(wire.Msg).SetReply(m)
		r.AuthenticatedData = ans.Authenticated
		r.Answer = []wire.RR{&wire.CNAME{Hdr: wire.RR_Header{Name: m.Question[0].Name, Rrtype: wire.TypeCNAME, Class: wire.ClassINET, Ttl: 30}, Target: target + "."}}
		_ = w.WriteMsg(r)
		return true
	})
	c := newClient(t, dns.Options{Servers: []string{addr}, TrustAD: true})
	for name, want := range map[string]bool{"one.org": true, "loose.org": false} {
		txt, ans, err := c.LookupTXT(t.Context(), name)
		if err != nil || !slices.Equal(txt, []string{"here"}) || ans.CNAME != "three.org" || ans.Authenticated != want || ans.TTL > 30*time.Second {
			t.Errorf("%s: %v, %+v, %v", name, txt, ans, err)
		}
	}
	if _, _, err := c.LookupTXT(t.Context(), "a.loop"); !errors.Is(err, dns.ErrAliases) || !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("a loop: %v", err)
	}
	if _, _, err := c.LookupTXT(t.Context(), "none.org"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("an alias of nothing: %v", err)
	}
}

// TestAsksForAD sets the bit by which a resolver learns that its answer about
// authenticity is understood (RFC 6840 section 5.7).
func TestAsksForAD(t *testing.T) {
	asked := make(chan *wire.Msg, 1)
	addr, _ := counting(t, nil, func(_ int64, w wire.ResponseWriter, q *wire.Msg) bool {
		select {
		case asked <- q:
		default:
		}
		_ = w.WriteMsg(new(wire.Msg).SetReply(q))
		return true
	})
	if _, _, err := newClient(t, dns.Options{Servers: []string{addr}}).LookupTLSA(t.Context(), "_25._tcp.a.example.org"); !errors.Is(err, dns.ErrNotFound) {
		t.Fatal(err)
	}
	if q := <-asked; !q.AuthenticatedData || q.CheckingDisabled || !q.RecursionDesired || q.IsEdns0() == nil {
		t.Errorf("%v", q)
	}
}

// TestADOfAnybodyIsNothing does not believe a server that nobody called
// validating, though it is on this machine.
func TestADOfAnybodyIsNothing(t *testing.T) {
	c := newClient(t, dns.Options{Servers: []string{nettest.ServeDNS(t, nettest.NewDNS(records()))}})
	list, answer, err := c.LookupTLSA(t.Context(), "_25._tcp.a.example.org")
	if err != nil || len(list) != 1 || answer.Authenticated {
		t.Errorf("%v, %+v, %v", list, answer, err)
	}
}
