package smtp

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseSolicit(t *testing.T) {
	long := "net.example:" + strings.Repeat("x", MaxSolicit-len("net.example:"))
	for in, want := range map[string][]string{
		"net.example:ADV":                      {"net.example:ADV"},
		"net.example:ADV,org.example:ADV:ADLT": {"net.example:ADV", "org.example:ADV:ADLT"},
		"a":                                    {"a"},
		"A-b_c.9":                              {"A-b_c.9"},
		long:                                   {long},
	} {
		if got, err := ParseSolicit(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ",", "a,", ",a", "a, b", " a", "9a", ".a", "a(b)", "a\r\nb", "é", "a=b", "a;b", "[a", "@", "`", "{", long + "x"} {
		if got, err := ParseSolicit(in); !errors.Is(err, ErrParameter) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestMatchSolicit(t *testing.T) {
	unwanted := []string{"net.example:ADV", "org.example:x"}
	for in, want := range map[string]string{
		"": "", "net.example:ADV": "net.example:ADV", "b,org.example:x,NET.example:adv,net.example:adv": "net.example:ADV,org.example:x", "net.example:ADV:ADLT,net.example": "",
	} {
		if got := MatchSolicit(in, unwanted); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzParseSolicit(f *testing.F) {
	f.Add("net.example:ADV,org.example:ADV:ADLT")
	f.Add("a,,b")
	f.Add("9(")
	f.Fuzz(func(t *testing.T, value string) {
		words, err := ParseSolicit(value)
		if err != nil {
			return
		}
		// It goes into commands and comments as it is.
		if strings.Join(words, ",") != value || strings.ContainsAny(value, " \t\r\n()<>=\\\"\x00") || MatchSolicit(value, words) != value || MatchSolicit(value, []string{"(", words[0]}) != words[0] {
			t.Errorf("%q: %q", value, words)
		}
	})
}
