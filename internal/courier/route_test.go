package courier

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"posthouse/internal/dns"
	"posthouse/internal/status"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestResolve(t *testing.T) {
	one, two := addrs("192.0.2.1"), addrs("192.0.2.2")
	d := &fakeDNS{
		mx: map[string][]dns.MX{
			"two.net":       {{Preference: 20, Host: "B.two.net."}, {Preference: 10, Host: "a.two.net"}},
			"hosted.net":    {{Preference: 5, Host: "a.two.net"}, {Preference: 5, Host: "b.two.net"}},
			"null.net":      {{Host: ""}},
			"ghost.net":     {{Preference: 1, Host: "gone.net"}},
			"half.net":      {{Preference: 1, Host: "gone.net"}, {Preference: 2, Host: "a.two.net"}},
			"flaky.net":     {{Preference: 1, Host: "flaky.host"}},
			"us.net":        {{Preference: 10, Host: "us.example.test"}, {Preference: 20, Host: "a.two.net"}},
			"backup.net":    {{Preference: 10, Host: "a.two.net"}, {Preference: 20, Host: "us.example.test"}, {Preference: 20, Host: "b.two.net"}, {Preference: 30, Host: "b.two.net"}},
			"xn--bcher.net": {{Preference: 1, Host: "a.two.net"}},
		},
		ip: map[string][]netip.Addr{
			"a.two.net": one, "b.two.net": two, "plain.net": addrs("192.0.2.3", "2001:db8::1", "2001:db8::2"),
			"us.example.test": addrs("192.0.2.99"), "relay.net": addrs("192.0.2.50"),
		},
		fail: map[string]bool{"broken.net": true, "flaky.host": true},
	}
	rule := func(match, via string) RouteRule {
		r, err := ParseRule(match, via)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	c := newCourier(t, nil, func(o *Options) {
		o.Resolver = d
		o.Routes = []RouteRule{rule("direct.relay.net", "smtp://127.0.0.1:2600"), rule("*.relay.net", "smtps://relay.net")}
		o.IsLocal = func(host string, list []netip.Addr, port uint16) bool {
			return slices.Contains(list, netip.MustParseAddr("127.0.0.77"))
		}
	})
	for domain, want := range map[string]struct {
		site  string
		hosts []string
	}{
		"two.net":            {"a.two.net,b.two.net", []string{"a.two.net", "b.two.net"}},
		"HOSTED.net":         {"a.two.net,b.two.net", []string{"a.two.net", "b.two.net"}},
		"half.net":           {"a.two.net,gone.net", []string{"a.two.net"}},
		"plain.net":          {"plain.net", []string{"plain.net"}},
		"backup.net":         {"a.two.net", []string{"a.two.net"}},
		"[192.0.2.7]":        {"[192.0.2.7]", []string{"[192.0.2.7]"}},
		"[IPv6:2001:db8::7]": {"[ipv6:2001:db8::7]", []string{"[ipv6:2001:db8::7]"}},
		"direct.relay.net":   {"smtp://127.0.0.1:2600", []string{"127.0.0.1"}},
		"x.relay.net":        {"smtps://relay.net:465", []string{"relay.net"}},
	} {
		r, err := c.Resolve(t.Context(), domain)
		if err != nil {
			t.Errorf("%s: %v", domain, err)
			continue
		}
		var hosts []string
		for _, h := range r.Hosts {
			hosts = append(hosts, h.Name)
		}
		if r.Site != want.site || !slices.Equal(hosts, want.hosts) {
			t.Errorf("%s: site %q, hosts %q", domain, r.Site, hosts)
		}
		if known, ok := c.Known(domain); !ok || known != r {
			t.Errorf("%s is not remembered", domain)
		}
	}
	for domain, want := range map[string]string{
		"null.net": "556 5.1.10", "nowhere.net": "550 5.1.2", "broken.net": "451 4.4.3", "ghost.net": "550 5.4.4", "flaky.net": "451 4.4.3",
		"us.net": "554 5.4.6", "us.example.test": "554 5.4.6", "[127.0.0.77]": "554 5.4.6", "-bad-": "550 5.1.2",
	} {
		_, err := c.Resolve(t.Context(), domain)
		var e *status.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", domain, err)
			continue
		}
		if got := e.Error()[:len(want)]; got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
	r, _ := c.Known("plain.net")
	if want := addrs("2001:db8::1", "192.0.2.3", "2001:db8::2"); !slices.Equal(r.Hosts[0].Addrs, want) {
		t.Errorf("addresses %v, want %v", r.Hosts[0].Addrs, want)
	}
}

func TestEqualPreferenceIsShuffled(t *testing.T) {
	c := newCourier(t, nil, func(o *Options) { o.Resolver = &fakeDNS{} })
	r := &Route{Site: "x", Hosts: []Host{
		{Name: "a", Preference: 1, Addrs: addrs("192.0.2.1")}, {Name: "b", Preference: 1, Addrs: addrs("192.0.2.2")},
		{Name: "c", Preference: 2, Addrs: addrs("192.0.2.3")},
	}}
	first := map[string]int{}
	for range 200 {
		list, _ := c.targets(r)
		if list[2].host.Name != "c" {
			t.Fatal("a worse preference comes first")
		}
		first[list[0].host.Name]++
	}
	if first["a"] < 20 || first["b"] < 20 {
		t.Errorf("first were %v", first)
	}
}

func TestParseRule(t *testing.T) {
	for _, bad := range [][2]string{
		{"*", "http://x"}, {"*", "127.0.0.1:25"}, {"*", "smtp://"}, {"*", "smtp://x:0"}, {"*", "smtp://x:99999"}, {"*", "smtp://x/path"},
		{"*", "smtp://:25"}, {"*", "smtp://u:p@h/x"}, {"*", "smtp://x?y"}, {"*", "smtp://x#y"}, {"*", "smtp:x"}, {"*", "smtp://a b"}, {"*", "smtp://u@x"}, {"*", "smtp://-x-"},
		{"a*b", "smtp://x"}, {"", "smtp://x"}, {"*.", "smtp://x"},
	} {
		if _, err := ParseRule(bad[0], bad[1]); !errors.Is(err, ErrRule) {
			t.Errorf("ParseRule(%q, %q): %v", bad[0], bad[1], err)
		}
	}
	r, err := ParseRule("*.Example.NET", "smtp://u%40x:p%3Aq@[::1]")
	if err != nil || r.via.user != "u@x" || r.via.pass != "p:q" || r.via.host != "::1" || r.via.port != 587 {
		t.Errorf("%+v %v", r, err)
	}
	for domain, want := range map[string]bool{"a.example.net": true, "a.b.example.net": true, "example.net": false, "aexample.net": false} {
		if r.match.Matches(domain) != want {
			t.Errorf("%s matches: %v", domain, !want)
		}
	}
}
