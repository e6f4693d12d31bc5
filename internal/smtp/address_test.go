package smtp

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"alice@example.test":                {"alice", "example.test"},
		"Alice+tag@Example.TEST":            {"Alice+tag", "Example.TEST"},
		`"two words"@example.test`:          {"two words", "example.test"},
		`"a\"b\\c"@example.test`:            {`a"b\c`, "example.test"},
		`"needless"@example.test`:           {"needless", "example.test"},
		"a@[192.0.2.1]":                     {"a", "[192.0.2.1]"},
		"a@[IPv6:2001:db8::1]":              {"a", "[IPv6:2001:db8::1]"},
		"grün@bücher.example":               {"grün", "bücher.example"},
		"a.b-c/d=e@x":                       {"a.b-c/d=e", "x"},
		"a@under_score.example":             {"a", "under_score.example"},
		strings.Repeat("l", 64) + "@x.test": {strings.Repeat("l", 64), "x.test"},
	} {
		got, err := ParseAddress(in)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "alice", "@example.test", "alice@", "a b@example.test", ".a@x", "a.@x", "a..b@x", "a@.x", "a@x.", "a@-x", "a@x-",
		`"open@x`, `""@x`, "\"a\nb\"@x", "a@[1.2.3]", "a@[IPv6:1.2.3.4]", "a@[fe80::1]", "a@x y", "a@b@c", "a@b>", "<a@b>",
		"\xff@x", "a@\xff", "a@x_\u00ad\u200b\uffff", strings.Repeat("l", 65) + "@x", "a@" + strings.Repeat("d.", 130) + "x", "a@" + strings.Repeat("d", 64),
	} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %+v; want an error", in, got)
		}
	}
}

func TestAddressString(t *testing.T) {
	for want, a := range map[string]Address{
		"":                        {},
		"a@x.test":                {"a", "x.test"},
		`"a b"@x.test`:            {"a b", "x.test"},
		`"a..b"@x.test`:           {"a..b", "x.test"},
		`"a\"\\"@x.test`:          {`a"\`, "x.test"},
		"postmaster":              {Local: "postmaster"},
		"@x.test":                 {Domain: "x.test"},
		"grün@bücher.example":     {"grün", "bücher.example"},
		"a@[IPv6:2001:db8::1]":    {"a", "[IPv6:2001:db8::1]"},
		`"(comment)"@example.org`: {"(comment)", "example.org"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%+v.String() = %q, want %q", a, got, want)
		}
		var back Address
		if err := back.UnmarshalText([]byte(want)); err != nil || back != a {
			t.Errorf("UnmarshalText(%q) = %+v, %v; want %+v", want, back, err, a)
		}
	}
}

func TestAddressKey(t *testing.T) {
	same := [][2]string{
		{"Alice@Example.TEST", "alice@example.test"},
		{"GRÜN@bücher.example", "grün@xn--bcher-kva.example"},
		{"gru\u0308n@x.test", "gr\u00fcn@x.test"},
		{`"alice"@x.test`, "alice@x.test"},
		{"a@[IPv6:2001:DB8:0::1]", "a@[ipv6:2001:db8::1]"},
		{"a@BÜCHER.example", "a@bücher.example"},
	}
	for _, pair := range same {
		a, err := ParseAddress(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseAddress(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if a.Key() != b.Key() {
			t.Errorf("keys differ: %q %q", a.Key(), b.Key())
		}
	}
	if (Address{"a", "x.test"}).Key() == (Address{"b", "x.test"}).Key() {
		t.Error("different addresses have one key")
	}
}

func TestAddressJSON(t *testing.T) {
	in := struct {
		From Address
		To   []Address
	}{From: Address{}, To: []Address{{"a b", "x.test"}, {"c", "y.test"}}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"From":"","To":["\"a b\"@x.test","c@y.test"]}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	out := in
	out.To = nil
	if err := json.Unmarshal(text, &out); err != nil || len(out.To) != 2 || out.To[0] != in.To[0] {
		t.Errorf("back from JSON: %+v, %v", out, err)
	}
}

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Address
		rest string
	}{
		{"<>", Address{}, ""},
		{"<> SIZE=1", Address{}, " SIZE=1"},
		{"<a@x.test>", Address{"a", "x.test"}, ""},
		{"<@one.test,@two.test:a@x.test> X", Address{"a", "x.test"}, " X"},
		{"<@one.test:a@x.test>", Address{"a", "x.test"}, ""},
		{"<Postmaster>", Address{Local: "Postmaster"}, ""},
		{"<postmaster@x.test>", Address{"postmaster", "x.test"}, ""},
		{`<"a> b"@x.test>tail`, Address{"a> b", "x.test"}, "tail"},
		{"<a@[127.0.0.1]>", Address{"a", "[127.0.0.1]"}, ""},
	} {
		got, rest, err := ParsePath(c.in, false)
		if err != nil || got != c.want || rest != c.rest {
			t.Errorf("ParsePath(%q) = %+v, %q, %v; want %+v, %q", c.in, got, rest, err, c.want, c.rest)
		}
	}
	for in, want := range map[string]error{
		"":                                    ErrAddress,
		"a@x":                                 ErrAddress,
		"<a@x":                                ErrAddress,
		"<a>":                                 ErrAddress,
		"<@x>":                                ErrAddress,
		"<@x:>":                               ErrAddress,
		"<@x,a@y>":                            ErrAddress,
		"<a@x y>":                             ErrAddress,
		"< a@x>":                              ErrAddress,
		"<a@x >":                              ErrAddress,
		"<postmaster":                         ErrAddress,
		"<gr\u00fcn@x>":                       ErrNeedsUTF8,
		"<a@b\u00fccher.test>":                ErrNeedsUTF8,
		"<a@" + longDomain + ">":              ErrTooLong,
		"<" + strings.Repeat("l", 65) + "@x>": ErrTooLong,
		"<" + strings.Repeat("l", 60) + "@" + longDomain[:199] + ">": ErrTooLong,
	} {
		if got, _, err := ParsePath(in, false); !errors.Is(err, want) {
			t.Errorf("ParsePath(%q) = %+v, %v; want %v", in, got, err, want)
		}
	}
	if a, _, err := ParsePath("<gr\u00fcn@b\u00fccher.test>", true); err != nil || a.Local != "gr\u00fcn" {
		t.Errorf("UTF-8 path: %+v, %v", a, err)
	}
	if a, _, err := ParseReversePath("<"+strings.Repeat("v", 120)+"@x>", false); err != nil || len(a.Local) != 120 {
		t.Errorf("long return path: %v", err)
	}
}

var longDomain = strings.Repeat("abcdefghi.", 26) + "test"

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<a@x>", `<"a\"b"@x.test> SIZE=1`, "<@a,@b:c@d>", "<postmaster>", "<a@[IPv6:::1]>", "<\u00fc@\u00fc.test>", "<a@xn--bcher-kva.test>"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, allow bool) {
		a, rest, err := ParseReversePath(s, allow)
		if err != nil {
			return
		}
		if !strings.HasSuffix(s, rest) {
			t.Fatalf("rest %q is not the end of %q", rest, s)
		}
		if !allow && !a.IsASCII() {
			t.Fatalf("%q gave %+v without SMTPUTF8", s, a)
		}
		// Quotes can make the address longer than it came, never otherwise.
		b, _, err := ParseReversePath(a.Path(), true)
		if err == nil && b != a {
			t.Fatalf("%+v reads back as %+v", a, b)
		}
		if err != nil && !errors.Is(err, ErrTooLong) {
			t.Fatalf("%+v does not read back: %v", a, err)
		}
		var c Address
		if err := c.UnmarshalText([]byte(a.String())); err != nil || c != a {
			t.Fatalf("%+v unmarshals as %+v, %v", a, c, err)
		}
		if strings.ContainsAny(a.String(), "\r\n\x00") {
			t.Fatalf("control characters in %q", a.String())
		}
	})
}

// A name of any length is answered at once; the longest there can be is converted.
func TestLongDomains(t *testing.T) {
	var distinct strings.Builder
	for c := rune(0x4e00); c < 0x9f00; c++ {
		distinct.WriteRune(c)
	}
	for _, domain := range []string{strings.Repeat(distinct.String(), 50), strings.Repeat("a\u0301", 1<<20), strings.Repeat("ü", maxUnicode/2) + "x"} {
		if _, err := ToASCII(domain); !errors.Is(err, errLongDomain) {
			t.Errorf("%.10s…: %v", domain, err)
		}
		if ValidDomain(domain) || ToUnicode(domain) != domain || ToUnicode("xn--"+domain) != "xn--"+domain {
			t.Errorf("%.10s… was converted", domain)
		}
	}
	label := strings.Repeat("\U00020000", 55) // xn-- and an octet for each but the first
	domain := label + "." + label + "." + label + ".test"
	ascii, err := ToASCII(domain)
	if err != nil || !ValidDomain(domain) || ToUnicode(ascii) != domain {
		t.Errorf("%d octets of %d, %v", len(ascii), len(domain), err)
	}
}
