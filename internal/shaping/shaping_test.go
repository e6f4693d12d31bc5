package shaping

import (
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	for s, want := range map[string]Rate{
		"100/m": {100, time.Minute}, "1/s": {1, time.Second}, "5 / h": {5, time.Hour}, "7/d": {7, 24 * time.Hour}, "": {},
	} {
		got, err := ParseRate(s)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v", s, got, err)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q does not come back: %q", s, got)
		}
	}
	for _, s := range []string{"100", "0/m", "-1/m", "1/w", "x/m", "/m", "1/m/m"} {
		if r, err := ParseRate(s); err == nil {
			t.Errorf("%q is %v", s, r)
		}
	}
	if i := (Rate{7, time.Second}).Interval(); i*7 < time.Second {
		t.Errorf("seven intervals are %v", i*7)
	}
}

func TestApplies(t *testing.T) {
	google := []string{"aspmx.l.google.com", "ASPMX2.googlemail.com."}
	for _, c := range []struct {
		limit          Limit
		source, domain string
		hosts          []string
		want           Scope
	}{
		{Limit{Match: "*.google.com, *.googlemail.com"}, "", "a.example", google, Site},
		{Limit{Match: "*.google.com"}, "", "a.example", google, None}, // not all hosts
		{Limit{Match: "*.google.com"}, "", "a.example", []string{"mx.notgoogle.com"}, None},
		{Limit{Match: "a.example"}, "", "a.example", google, Domain},
		{Limit{Match: "a.example"}, "", "b.example", google, None},
		{Limit{Match: "*"}, "", "b.example", google, Site},
		{Limit{Match: "*", Source: "one"}, "two", "b.example", google, None},
		{Limit{Match: "*", Source: "one"}, "one", "b.example", google, Site},
	} {
		l, err := c.limit.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Applies(c.source, c.domain, c.hosts); got != c.want {
			t.Errorf("%q for %s at %v from %q: %v", c.limit.Match, c.domain, c.hosts, c.source, got)
		}
	}
	for _, bad := range []string{"", "*.", "**", "a b", "a.example,,b.example"} {
		if _, err := (Limit{Match: bad}).Parse(); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

// What is configured for a provider is in the place of what is known.
func TestOverride(t *testing.T) {
	known, err := Limits(nil)
	if err != nil || len(known) < 10 {
		t.Fatal(known, err)
	}
	list, err := Limits([]Limit{{Match: "*.googlemail.com,*.google.com", Connections: 30}})
	if err != nil || len(list) != len(known) || list[0].Connections != 30 {
		t.Errorf("%d limits, want %d: %v", len(list), len(known), err)
	}
	for _, l := range list[1:] {
		if l.Applies("", "gmail.com", []string{"gmail-smtp-in.l.google.com"}) != None {
			t.Errorf("%q still applies", l.Match)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"*", "*.google.com, *.googlemail.com", "a.example", "", ",", "*.*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Limit{Match: s}.Parse()
		if err == nil && len(l.domains)+len(l.suffixes) == 0 {
			t.Errorf("%q matches nothing", s)
		}
		if r, err := ParseRate(s); err == nil {
			if again, err := ParseRate(r.String()); err != nil || again != r {
				t.Errorf("%q does not come back", s)
			}
		}
	})
}
