package dns_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
