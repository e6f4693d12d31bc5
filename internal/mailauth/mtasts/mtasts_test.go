package mtasts

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRecord(t *testing.T) {
	for name, c := range map[string]struct {
		texts []string
		id    string
		err   error
	}{
		"usual":                    {[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", nil},
		"no space":                 {[]string{"v=STSv1;id=1"}, "1", nil},
		"space before the mark":    {[]string{"v=STSv1 ; id = 1 ;"}, "1", nil},
		"unknown fields":           {[]string{"v=STSv1; x=y; id=1; z=2"}, "1", nil},
		"others beside it":         {[]string{"v=spf1 -all", "v=STSv1; id=1;", "v=STSv10; id=2"}, "1", nil},
		"the first of doubles":     {[]string{"v=STSv1; id=1; id=2"}, "1", nil},
		"none":                     {nil, "", ErrNone},
		"version must come first":  {[]string{"id=1; v=STSv1"}, "", ErrNone},
		"version without end":      {[]string{"v=STSv1"}, "", ErrNone},
		"two":                      {[]string{"v=STSv1; id=1;", "v=STSv1; id=2;"}, "", ErrInvalid},
		"no id":                    {[]string{"v=STSv1; ids=1"}, "", ErrInvalid},
		"id is letters and digits": {[]string{"v=STSv1; id=a-b"}, "", ErrInvalid},
		"a field without value":    {[]string{"v=STSv1; id=1; x="}, "", ErrInvalid},
		"no field":                 {[]string{"v=STSv1; id=1; x"}, "", ErrInvalid},
		"nothing between marks":    {[]string{"v=STSv1;; id=1"}, "", ErrInvalid},
		"spaces in a value":        {[]string{"v=STSv1; x=a b; id=1"}, "", ErrInvalid},
		"no name":                  {[]string{"v=STSv1; id=1; =x"}, "", ErrInvalid},
		"a name of marks":          {[]string{"v=STSv1; id=1; _x=1"}, "", ErrInvalid},
		"names with marks":         {[]string{"v=STSv1; x-1_.=y; id=1;  "}, "1", nil},
		"id is 32 long":            {[]string{"v=STSv1; id=" + strings.Repeat("1", 33)}, "", ErrInvalid},
	} {
		if id, err := ParseRecord(c.texts); id != c.id || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	const head = "version: STSv1\r\nmode: enforce\r\n"
	for name, c := range map[string]struct {
		text string
		want *Policy
	}{
		"usual":                     {head + "mx: mx1.example.net\r\nmx: *.example.net\r\nmax_age: 604800\r\n", &Policy{Enforce, []string{"mx1.example.net", "*.example.net"}, 168 * time.Hour}},
		"bare line feeds, no end":   {"version:STSv1\nmode:testing\nmax_age:1\nmx:MX.example.net", &Policy{Testing, []string{"mx.example.net"}, time.Second}},
		"none needs no mx":          {"version: STSv1\nmode: none\nmax_age: 86400", &Policy{None, nil, 24 * time.Hour}},
		"unknown fields":            {head + "x-new: 1:2\nmx: a.example\nmax_age: 5\n", &Policy{Enforce, []string{"a.example"}, 5 * time.Second}},
		"the first of doubles":      {head + "mode: none\nmx: a.example\nmax_age: 5\nmax_age: 6\n", &Policy{Enforce, []string{"a.example"}, 5 * time.Second}},
		"a year at most":            {head + "mx: a.example\nmax_age: 9999999999\n", &Policy{Enforce, []string{"a.example"}, MaxAge}},
		"empty":                     {"", nil},
		"other version":             {"version: STSv2\nmode: none\nmax_age: 1", nil},
		"no version":                {"mode: none\nmax_age: 1", nil},
		"no mode":                   {"version: STSv1\nmx: a.example\nmax_age: 1", nil},
		"no max_age":                {head + "mx: a.example\n", nil},
		"no mx":                     {head + "max_age: 1\n", nil},
		"mode of another's":         {"version: STSv1\nmode: report\nmx: a.example\nmax_age: 1", nil},
		"max_age is digits":         {head + "mx: a.example\nmax_age: -1\n", nil},
		"max_age is ten digits":     {head + "mx: a.example\nmax_age: 00000000001\n", nil},
		"a wildcard is whole label": {head + "mx: mx*.example\nmax_age: 1\n", nil},
		"one wildcard":              {head + "mx: *.*.example\nmax_age: 1\n", nil},
		"not a name":                {head + "mx: a..b\nmax_age: 1\n", nil},
		"a page of HTML":            {"<html>not found</html>", nil},
		"too large":                 {head + "mx: a.example\nmax_age: 1\n" + strings.Repeat("x: y\n", 14000), nil},
	} {
		got, err := ParsePolicy([]byte(c.text))
		if !reflect.DeepEqual(got, c.want) || (err != nil) != (c.want == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestAllows(t *testing.T) {
	p := &Policy{MX: []string{"mx.example.com", "*.example.net"}}
	for host, want := range map[string]bool{
		"mx.example.com": true, "MX.example.com.": true, "mx2.example.com": false, "a.example.net": true,
		"example.net": false, "a.b.example.net": false, "net": false, "": false, "*.example.net": true,
	} {
		if p.Allows(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=STSv1; id=1;", "version: STSv1\r\nmode: enforce\r\nmx: *.example.net\r\nmax_age: 604800\r\n", "mx.example.net")
	f.Add("v=STSv1", "version: STSv1\nmode: none\nmax_age: 1\nmode: testing", "")
	f.Fuzz(func(t *testing.T, record, policy, host string) {
		if id, err := ParseRecord([]string{record}); err == nil && !validID(id) {
			t.Errorf("id %q", id)
		}
		p, err := ParsePolicy([]byte(policy))
		if err != nil {
			return
		}
		if p.Allows(host) && strings.Contains(strings.TrimSuffix(host, "."), "..") {
			t.Errorf("allows %q", host)
		}
		again, err := ParsePolicy([]byte(strings.Join(p.Text(), "\n")))
		if err != nil || again.Mode != p.Mode || again.MaxAge != p.MaxAge || !slices.Equal(again.MX, p.MX) {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}
