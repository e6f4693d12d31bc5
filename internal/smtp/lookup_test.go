package smtp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseLookup(t *testing.T) {
	for in, want := range map[string]Lookup{
		"alice":                           {Address: Address{Local: "alice"}},
		"alice@x.test":                    {Address: Address{"alice", "x.test"}},
		"<alice@x.test>":                  {Address: Address{"alice", "x.test"}},
		"<alice>":                         {Address: Address{Local: "alice"}},
		`"two words"`:                     {Address: Address{Local: "two words"}},
		`"two words"@x.test smtputf8`:     {Address: Address{"two words", "x.test"}, UTF8: true},
		"grün SMTPUTF8":                   {Address: Address{Local: "grün"}, UTF8: true},
		"SMTPUTF8":                        {Address: Address{Local: "SMTPUTF8"}},
		"SMTPUTF8  SMTPUTF8":              {Address: Address{Local: "SMTPUTF8"}, UTF8: true},
		"a@[192.0.2.1]":                   {Address: Address{"a", "[192.0.2.1]"}},
		strings.Repeat("l", 64) + "@x.te": {Address: Address{strings.Repeat("l", 64), "x.te"}},
	} {
		if got, err := ParseLookup(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", " ", "<>", "Alice Smith", "alice smtputf8=1", "a@b c", "<a@b", "@x.test", "a@", "a..b", "\xff", "<@r:a@b>", strings.Repeat("l", 65)} {
		if got, err := ParseLookup(in); !errors.Is(err, ErrAddress) && !errors.Is(err, ErrTooLong) {
			t.Errorf("%q: %+v, %v; want an error", in, got, err)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, s := range []string{"alice", "<a@x.test> SMTPUTF8", `"a b"`, "SMTPUTF8 SMTPUTF8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLookup(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(l.Address.String(), "\r\n\x00") || l.Address.Local == "" {
			t.Fatalf("%q gave %+v", s, l)
		}
		if again, err := ParseLookup(l.Address.String()); !errors.Is(err, ErrTooLong) && (err != nil || again.Address != l.Address) {
			t.Fatalf("%q: %+v reads back as %+v, %v", s, l, again, err)
		}
	})
}
