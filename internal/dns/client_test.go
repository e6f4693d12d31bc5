package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
)

// newClient makes a client that is patient unless it is told otherwise.
func newClient(t *testing.T, opt dns.Options) *dns.Client {
	t.Helper()
	if opt.Timeout == 0 {
		opt.Timeout = time.Minute
	}
	c, err := dns.NewClient(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func records() nettest.Records {
	long := strings.Repeat("all work and no play ", 200) // needs TCP
	return nettest.Records{
		MX: map[string][]dns.MX{
			"example.org":           {{Preference: 20, Host: "b.example.org"}, {Preference: 10, Host: "A.Example.org"}},
			"null.org":              {{Preference: 0, Host: ""}},
			"mixed.org":             {{Preference: 0, Host: ""}, {Preference: 5, Host: "a.example.org"}},
			"xn--bcher-kva.":        nil,
			"xn--bcher-kva.example": {{Preference: 1, Host: "a.example.org"}},
			"broken.org":            {{Preference: 1, Host: `a\032b.org`}},
		},
		A:    map[string][]string{"a.example.org": {"192.0.2.1", "192.0.2.2"}, "four.org": {"192.0.2.4"}, "half.org": {"192.0.2.5"}},
		AAAA: map[string][]string{"a.example.org": {"2001:db8::1"}, "six.org": {"2001:db8::6"}},
		TXT:  map[string][]string{"example.org": {"v=spf1 -all", "quote\" back\\slash \x00\xff;"}, "long.org": {long}},
		CNAME: map[string]string{"alias.org": "alias2.org", "alias2.org": "a.example.org", "loop.org": "loop.org",
			"dangling.org": "nowhere.org"},
		TLSA:          map[string][]dns.TLSA{"_25._tcp.a.example.org": {{Usage: 3, Selector: 1, Matching: 1, Data: []byte{1, 2, 0xff}}}},
		PTR:           map[string][]string{"192.0.2.1": {"a.example.org"}, "2001:db8::1": {"A.example.org"}},
		Temp:          map[string]bool{"temp.org": true, "AAAA half.org": true, "A six.org": true, "A sick.org": true},
		Authenticated: map[string]bool{"_25._tcp.a.example.org": true, "alias.org": true},
	}
}

// resolvers are the client, through a real server, and the mock itself: they
// must not differ.
func resolvers(t *testing.T) map[string]dns.Resolver {
	d := nettest.NewDNS(records())
	return map[string]dns.Resolver{
		"client": newClient(t, dns.Options{Servers: []string{nettest.ServeDNS(t, d)}, TrustAD: true}),
		"mock":   d,
	}
}

func TestLookups(t *testing.T) {
	ctx := context.Background()
	a := dns.MX{Preference: 10, Host: "a.example.org"}
	addrs := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	for kind, r := range resolvers(t) {
		mx := func(name string) (any, dns.Answer, error) { l, a, e := r.LookupMX(ctx, name); return l, a, e }
		ip := func(name string) (any, dns.Answer, error) { l, a, e := r.LookupIP(ctx, name); return l, a, e }
		txt := func(name string) (any, dns.Answer, error) { l, a, e := r.LookupTXT(ctx, name); return l, a, e }
		tlsa := func(name string) (any, dns.Answer, error) { l, a, e := r.LookupTLSA(ctx, name); return l, a, e }
		ptr := func(name string) (any, dns.Answer, error) {
			l, a, e := r.LookupPTR(ctx, netip.MustParseAddr(name))
			return l, a, e
		}
		cname := func(name string) (any, dns.Answer, error) { l, a, e := r.LookupCNAME(ctx, name); return l, a, e }
		for _, c := range []struct {
			name   string
			lookup func(string) (any, dns.Answer, error)
			want   any
			cname  string
			auth   bool
		}{
			{"example.org", mx, []dns.MX{a, {Preference: 20, Host: "b.example.org"}}, "", false},
			{"EXAMPLE.org.", mx, []dns.MX{a, {Preference: 20, Host: "b.example.org"}}, "", false},
			{"bücher.example", mx, []dns.MX{{Preference: 1, Host: "a.example.org"}}, "", false},
			{"null.org", mx, []dns.MX{{}}, "", false},
			{"a.example.org", ip, addrs("2001:db8::1", "192.0.2.1", "192.0.2.2"), "", false},
			{"four.org", ip, addrs("192.0.2.4"), "", false},
			{"half.org", ip, addrs("192.0.2.5"), "", false},
			{"six.org", ip, addrs("2001:db8::6"), "", false},
			{"alias.org", ip, addrs("2001:db8::1", "192.0.2.1", "192.0.2.2"), "a.example.org", false},
			{"example.org", txt, []string{"v=spf1 -all", "quote\" back\\slash \x00\xff;"}, "", false},
			{"long.org", txt, records().TXT["long.org"], "", false},
			{"_25._tcp.a.example.org", tlsa, []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: []byte{1, 2, 0xff}}}, "", true},
			{"192.0.2.1", ptr, []string{"a.example.org"}, "", false},
			{"alias.org", cname, "alias2.org", "", true},                // though what it stands for is not
			{"loop.org", cname, records().CNAME["loop.org"], "", false}, // one step
			{"::ffff:192.0.2.1", ptr, []string{"a.example.org"}, "", false},
		} {
			got, ans, err := c.lookup(c.name)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %s: got %v, %v, want %v", kind, c.name, got, err, c.want)
			}
			if ans.CNAME != c.cname || ans.Authenticated != c.auth || ans.TTL <= 0 || ans.TTL > time.Minute {
				t.Errorf("%s: %s: answer %+v", kind, c.name, ans)
			}
		}
		for _, c := range []struct {
			name   string
			lookup func(string) (any, dns.Answer, error)
			want   error
		}{
			{"nowhere.org", mx, dns.ErrNotFound},
			{"four.org", mx, dns.ErrNotFound},
			{"nowhere.org", ip, dns.ErrNotFound},
			{"dangling.org", ip, dns.ErrNotFound},
			{"192.0.2.99", ptr, dns.ErrNotFound},
			{"four.org", cname, dns.ErrNotFound},
			{"temp.org", cname, dns.ErrTemporary},
			{"temp.org", mx, dns.ErrTemporary},
			{"temp.org", ip, dns.ErrTemporary},
			{"sick.org", ip, dns.ErrTemporary},
			{"loop.org", ip, dns.ErrTemporary},
			{"", mx, dns.ErrNotFound},
			{"a..b", mx, dns.ErrNotFound},
			{"a b.org", mx, dns.ErrNotFound},
			{strings.Repeat("a", 64) + ".org", mx, dns.ErrNotFound},
			{strings.Repeat("abc.", 70) + "org", mx, dns.ErrNotFound},
		} {
			if got, _, err := c.lookup(c.name); !errors.Is(err, c.want) {
				t.Errorf("%s: %q: got %v, %v, want %v", kind, c.name, got, err, c.want)
			}
		}
	}
}

func TestOddMX(t *testing.T) {
	c := resolvers(t)["client"]
	if mx, _, err := c.LookupMX(t.Context(), "mixed.org"); err != nil || !slices.Equal(mx, []dns.MX{{Preference: 5, Host: "a.example.org"}}) {
		t.Errorf("a null MX beside another: %v, %v", mx, err)
	}
	// Not "no MX": that would send the mail to the domain's own address.
	if mx, _, err := c.LookupMX(t.Context(), "broken.org"); !errors.Is(err, dns.ErrTemporary) {
		t.Errorf("an MX that is no host name: %v, %v", mx, err)
	}
}

func TestCallersMayKeepTheSlice(t *testing.T) {
	c := resolvers(t)["client"]
	mx, _, err := c.LookupMX(t.Context(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	mx[0].Host = "scribble"
	if again, _, err := c.LookupMX(t.Context(), "example.org"); err != nil || again[0].Host != "a.example.org" {
		t.Errorf("the cache holds %v, %v", again, err)
	}
}

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

func TestCache(t *testing.T) {
	d := nettest.NewDNS(records())
	now := clock.NewFake(time.Unix(1e9, 0))
	addr, queries := counting(t, d, nil)
	c := newClient(t, dns.Options{Servers: []string{addr}, Clock: now, CacheEntries: 3})
	asked := func(name string, want int64) dns.Answer {
		t.Helper()
		before := queries.Load()
		_, ans, _ := c.LookupTXT(t.Context(), name)
		if n := queries.Load() - before; n != want {
			t.Errorf("%s: %d queries, want %d", name, n, want)
		}
		return ans
	}
	asked("example.org", 1)
	now.Advance(40 * time.Second)
	if ans := asked("EXAMPLE.org.", 0); ans.TTL != 20*time.Second {
		t.Errorf("time to live from the cache: %v", ans.TTL)
	}
	now.Advance(20 * time.Second)
	asked("example.org", 1)
	asked("nowhere.org", 1)
	asked("nowhere.org", 0)
	now.Advance(time.Minute)
	asked("nowhere.org", 1)
	asked("temp.org", 2) // a failure is asked again, and not kept
	asked("temp.org", 2)

	d.Change(func(r *nettest.Records) { r.TTL = 100 * time.Hour })
	asked("example.org", 1)
	now.Advance(time.Hour - time.Second)
	asked("example.org", 0)
	now.Advance(time.Second)
	asked("example.org", 1)
	asked("nowhere.org", 1)
	now.Advance(5 * time.Minute)
	asked("nowhere.org", 1)

	// Full: something goes, and the rest stays right.
	for _, name := range []string{"a.org", "b.org", "c.org", "d.org"} {
		asked(name, 1)
	}
	asked("d.org", 0)
}

func TestSameLookupsAreOne(t *testing.T) {
	d := nettest.NewDNS(records())
	arrived, gate := make(chan struct{}), make(chan struct{})
	addr, queries := counting(t, d, func(n int64, _ wire.ResponseWriter, _ *wire.Msg) bool {
		if n == 1 {
			close(arrived)
		}
		<-gate
		return false
	})
	c := newClient(t, dns.Options{Servers: []string{addr}, Timeout: time.Minute})
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { // the first to ask leaves; the others still get their answer
		if _, _, err := c.LookupTXT(ctx, "example.org"); !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) {
			t.Errorf("a lookup whose caller left: %v", err)
		}
	})
	<-arrived
	for range 20 {
		all.Go(func() {
			if txt, _, err := c.LookupTXT(t.Context(), "example.org"); err != nil || len(txt) != 2 {
				t.Errorf("%v, %v", txt, err)
			}
		})
	}
	for c.Waiting("example.org", wire.TypeTXT) < 21 {
		runtime.Gosched() // until all have come
	}
	cancel()
	for c.Waiting("example.org", wire.TypeTXT) > 20 {
		runtime.Gosched()
	}
	close(gate)
	all.Wait()
	if n := queries.Load(); n != 1 {
		t.Errorf("%d queries for 21 lookups at once", n)
	}
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
	if _, _, err := c.LookupTXT(t.Context(), "a.loop"); !errors.Is(err, dns.ErrTemporary) {
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

func TestOptions(t *testing.T) {
	for _, s := range []string{"", "localhost", "127.0.0.1:0", "127.0.0.1:x", "[::1", "1.2.3"} {
		if _, err := dns.NewClient(dns.Options{Servers: []string{s}}); err == nil {
			t.Errorf("server %q was accepted", s)
		}
	}
	for _, s := range []string{"127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:53"} {
		if _, err := dns.NewClient(dns.Options{Servers: []string{s}}); err != nil {
			t.Errorf("server %q: %v", s, err)
		}
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("search example.org\nnameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{conf, conf + ".missing"} {
		if _, err := dns.NewClient(dns.Options{ResolvConf: path}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
