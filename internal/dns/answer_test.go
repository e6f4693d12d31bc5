package dns

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// reply is a message with the given records, in the form of a zone file.
func reply(t testing.TB, q question, rcode int, answer, ns []string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	m.Response, m.Rcode, m.Id = true, rcode, 1
	for into, list := range map[*[]dns.RR][]string{&m.Answer: answer, &m.Ns: ns} {
		for _, s := range list {
			rr, err := dns.NewRR(s)
			if err != nil {
				t.Fatal(err)
			}
			*into = append(*into, rr)
		}
	}
	return m
}

func TestTimeToLive(t *testing.T) {
	q := question{"a.test", dns.TypeTXT}
	soa := "test. 900 IN SOA ns.test. root.test. 1 2 3 4 "
	for name, c := range map[string]struct {
		rcode      int
		answer, ns []string
		want       time.Duration
	}{
		"shortest of the chain":     {0, []string{"a.test. 30 IN CNAME b.test.", "b.test. 60 IN TXT x"}, nil, 30 * time.Second},
		"shortest of the records":   {0, []string{"a.test. 60 IN TXT x", "a.test. 20 IN TXT y"}, nil, 20 * time.Second},
		"capped":                    {0, []string{"a.test. 999999 IN TXT x"}, nil, time.Hour},
		"highest bit set":           {0, []string{"a.test. 4294967295 IN TXT x"}, nil, 0},
		"no record, SOA minimum":    {0, nil, []string{soa + "60"}, time.Minute},
		"no name, SOA capped":       {dns.RcodeNameError, nil, []string{soa + "3600"}, 5 * time.Minute},
		"no name, no SOA":           {dns.RcodeNameError, nil, nil, 0},
		"others' records are other": {0, []string{"b.test. 5 IN TXT x", "a.test. 50 IN TXT x", "a.test. 5 IN A 192.0.2.1"}, nil, 50 * time.Second},
	} {
		r, err := decode(reply(t, q, c.rcode, c.answer, c.ns), q, false)
		if err != nil || r.ans.TTL != c.want {
			t.Errorf("%s: %v, %v, want %v", name, r.ans.TTL, err, c.want)
		}
	}
}

func TestAuthenticatedOnlyWhenTrusted(t *testing.T) {
	q := question{"a.test", dns.TypeTXT}
	m := reply(t, q, 0, []string{"a.test. 30 IN TXT x"}, nil)
	m.AuthenticatedData = true
	for _, trust := range []bool{true, false} {
		if r, err := decode(m, q, trust); err != nil || r.ans.Authenticated != trust {
			t.Errorf("trust %v: %+v, %v", trust, r.ans, err)
		}
	}
}

func TestRecordsAreBounded(t *testing.T) {
	q := question{"a.test", dns.TypeA}
	m := reply(t, q, 0, nil, nil)
	for i := range 3000 {
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
			A: net.IPv4(10, 0, byte(i>>8), byte(i))})
	}
	if r, err := decode(m, q, false); err != nil || len(r.ip) != maxRecords {
		t.Errorf("%d addresses, %v", len(r.ip), err)
	}
}

func TestLongAliasChainEnds(t *testing.T) {
	q := question{"a0.test", dns.TypeA}
	var chain []string
	for i := range 20 {
		chain = append(chain, "a"+strings.Repeat("0", i+1)+".test. 9 IN CNAME a"+strings.Repeat("0", i+2)+".test.")
	}
	if _, err := decode(reply(t, q, 0, chain, nil), q, false); !errors.Is(err, ErrTemporary) {
		t.Errorf("20 aliases: %v", err)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		``: "", `plain`: "plain", `\"\\`: `"\`, `\000\255`: "\x00\xff", `\25`: "25", `\999`: "999", `x\`: `x\`, `\0001`: "\x001",
	} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzAnswer gives any packet to what reads answers.
func FuzzAnswer(f *testing.F) {
	types := []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeTLSA, dns.TypePTR}
	for i, rrs := range [][]string{
		{"a.test. 30 IN CNAME b.test.", "b.test. 60 IN MX 10 c.test.", "b.test. 60 IN MX 0 ."},
		{"a.test. 60 IN A 192.0.2.1"},
		{"a.test. 60 IN AAAA 2001:db8::1", "a.test. 60 IN AAAA ::ffff:192.0.2.1"},
		{`a.test. 60 IN TXT "v=spf1" " -all" "\000\""`},
		{"a.test. 60 IN TLSA 3 1 1 0102"},
		{"a.test. 60 IN PTR b.test.", "a.test. 0 IN CNAME a.test."},
	} {
		p, err := reply(f, question{"a.test", types[i]}, 0, rrs, []string{"test. 9 IN SOA ns.test. root.test. 1 2 3 4 5"}).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, uint8(i))
		f.Add(p[:len(p)-3], uint8(i))
	}
	f.Fuzz(func(t *testing.T, packet []byte, kind uint8) {
		q := question{"a.test", types[int(kind)%len(types)]}
		m, err := parse(packet, 1, q)
		if err != nil {
			return
		}
		r, err := decode(m, q, true)
		if err != nil {
			if !errors.Is(err, ErrTemporary) {
				t.Errorf("error %v", err)
			}
			return
		}
		checkResult(t, r)
	})
}

// checkResult looks that a result is fit for callers, whatever it came from.
func checkResult(t *testing.T, r result) {
	t.Helper()
	n := len(r.mx) + len(r.ip) + len(r.txt) + len(r.tlsa) + len(r.ptr)
	if (n == 0) != (r.err != nil) || n > maxRecords || (r.err != nil && !errors.Is(r.err, ErrNotFound)) {
		t.Errorf("%d records and %v", n, r.err)
	}
	if r.ans.TTL < 0 || r.ans.TTL > maxPositive {
		t.Errorf("time to live %v", r.ans.TTL)
	}
	names := r.ptr
	for _, mx := range r.mx {
		if mx.Host == "" && len(r.mx) == 1 {
			continue
		}
		names = append(names, mx.Host)
	}
	for _, n := range names {
		if c, err := CanonicalName(n); err != nil || c != n {
			t.Errorf("host %q: %q, %v", n, c, err)
		}
	}
}

func FuzzCanonicalName(f *testing.F) {
	for _, s := range []string{"example.org.", "Bücher.example", "_25._tcp.mx.test", "xn--a", "a..b", "☃。test", "", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := CanonicalName(s)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again, err := CanonicalName(n); err != nil || again != n {
			t.Errorf("%q became %q, and that %q, %v", s, n, again, err)
		}
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(n), dns.TypeMX)
		if _, err := m.Pack(); err != nil {
			t.Errorf("%q cannot be asked: %v", n, err)
		}
	})
}
