package smtp

import (
	"errors"
	"reflect"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for in, want := range map[string]Command{
		"QUIT":                   {"QUIT", ""},
		"quit  ":                 {"QUIT", ""},
		"Mail From:<a@x>":        {"MAIL", "From:<a@x>"},
		"NOOP  some text":        {"NOOP", "some text"},
		"EHLO\tx":                {"EHLO", "x"},
		"RCPT TO:<\u00fc@x> A=B": {"RCPT", "TO:<\u00fc@x> A=B"},
	} {
		if got, err := ParseCommand([]byte(in)); err != nil || got != want {
			t.Errorf("ParseCommand(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", " QUIT", "Q-UIT", "\x16\x03\x01", "NOOP a\x00b", "NOOP\rQUIT", "250 OK", "\u00fc", "X:y"} {
		if got, err := ParseCommand([]byte(in)); err == nil {
			t.Errorf("ParseCommand(%q) = %+v; want an error", in, got)
		}
	}
}

func TestParseMail(t *testing.T) {
	for in, want := range map[string]Mailing{
		"FROM:<>":                       {},
		"from: <a@x>":                   {Path: Address{"a", "x"}},
		"FROM:a@x":                      {Path: Address{"a", "x"}},
		"FROM:a@x SIZE=3":               {Path: Address{"a", "x"}, Params: Params{{"SIZE", "3"}}},
		"FROM:<a@x> size=3 SMTPUTF8":    {Path: Address{"a", "x"}, Params: Params{{"SIZE", "3"}, {"SMTPUTF8", ""}}},
		"FROM:<a@x>  BODY=8BITMIME X-Y": {Path: Address{"a", "x"}, Params: Params{{"BODY", "8BITMIME"}, {"X-Y", ""}}},
	} {
		if got, err := ParseMail(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseMail(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		"":                      ErrSyntax,
		"<a@x>":                 ErrSyntax,
		"TO:<a@x>":              ErrSyntax,
		"FROM:":                 ErrSyntax,
		"FROM <a@x>":            ErrSyntax,
		"FROM:<a@x>SIZE=3":      ErrSyntax,
		"FROM:a@x>":             ErrSyntax,
		"FROM:<a>":              ErrAddress,
		"FROM:<a@x> A=1 a=2":    ErrParameter,
		"FROM:<a@x> =1":         ErrParameter,
		"FROM:<a@x> A=":         ErrParameter,
		"FROM:<a@x> A=b=c":      ErrParameter,
		"FROM:<a@x> -A":         ErrParameter,
		"FROM:<a@x> A=\xff\xfe": ErrParameter,
	} {
		if got, err := ParseMail(in); !errors.Is(err, want) {
			t.Errorf("ParseMail(%q) = %+v, %v; want %v", in, got, err, want)
		}
	}
}

func TestXtext(t *testing.T) {
	const plain = "a+b=c d\u00fc"
	const coded = "a+2Bb+3Dc+20d+C3+BC"
	if got := EncodeXtext(plain); got != coded {
		t.Errorf("EncodeXtext = %q, want %q", got, coded)
	}
	if got, err := DecodeXtext(coded); err != nil || got != plain {
		t.Errorf("DecodeXtext = %q, %v", got, err)
	}
	for _, in := range []string{"+", "+2", "+2b", "+GG", "a=b", "a b", "\u00fc"} {
		if got, err := DecodeXtext(in); err == nil {
			t.Errorf("DecodeXtext(%q) = %q; want an error", in, got)
		}
	}
}

func TestValidHelo(t *testing.T) {
	for _, s := range []string{"mx.example.org", "localhost", "a_b.example", "[127.0.0.1]", "[IPv6:::1]", "[::1]", "[IPv6:fe80::1%en0]", "10.0.0.1", "x.", "b\u00fccher.example"} {
		if !ValidHelo(s) {
			t.Errorf("ValidHelo(%q) is false", s)
		}
	}
	for _, s := range []string{"", " ", "a b", ".", "..", "-a", "a..b", "[", "[]", "[x]", "[fe80::1%e n]", "a;b", "<a>", "a@b", "\xff", "[IPv6:::1"} {
		if ValidHelo(s) {
			t.Errorf("ValidHelo(%q) is true", s)
		}
	}
}

func TestDomains(t *testing.T) {
	if a, err := ToASCII("B\u00fccher.Example"); err != nil || a != "xn--bcher-kva.example" {
		t.Errorf("ToASCII: %q, %v", a, err)
	}
	if a, err := ToASCII("fa\u00df.example"); err != nil || a != "xn--fa-hia.example" {
		t.Errorf("ToASCII maps sharp s: %q, %v", a, err)
	}
	if u := ToUnicode("xn--bcher-kva.example"); u != "b\u00fccher.example" {
		t.Errorf("ToUnicode: %q", u)
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<a@x> SIZE=1 BODY=7BIT", "RCPT TO:<\"a b\"@x>", "RCPT TO: a@x NOTIFY=NEVER", "EHLO [127.0.0.1]", "AUTH PLAIN AGEAYg==", "\x00", "MAIL FROM:<@a:b@c> AUTH=<>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := ParseCommand(line)
		if err != nil {
			return
		}
		ValidHelo(c.Arg)
		for _, parse := range []func(string) (Mailing, error){ParseMail, ParseRcpt} {
			m, err := parse(c.Arg)
			if err != nil {
				continue
			}
			seen := map[string]bool{}
			for _, p := range m.Params {
				if p.Key == "" || seen[p.Key] {
					t.Fatalf("parameters %+v", m.Params)
				}
				seen[p.Key] = true
			}
		}
		if s, err := DecodeXtext(c.Arg); err == nil && EncodeXtext(s) == "" && s != "" {
			t.Fatal("xtext lost")
		}
	})
}
