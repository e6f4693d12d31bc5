package smtp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseDSNParameters(t *testing.T) {
	for _, c := range []struct {
		name     string
		parse    func(string) (string, error)
		in, want string // want "" is an error
	}{
		{"RET", ParseRet, "full", "FULL"}, {"RET", ParseRet, "Hdrs", "HDRS"}, {"RET", ParseRet, "BODY", ""}, {"RET", ParseRet, "", ""},
		{"ENVID", ParseEnvID, "QQ314159", "QQ314159"}, {"ENVID", ParseEnvID, "a+2Bb+3D+20c", "a+b= c"},
		{"ENVID", ParseEnvID, strings.Repeat("x", 100), strings.Repeat("x", 100)}, {"ENVID", ParseEnvID, strings.Repeat("x", 101), ""},
		{"ENVID", ParseEnvID, "", ""}, {"ENVID", ParseEnvID, "a+2b", ""}, {"ENVID", ParseEnvID, "a+4", ""}, {"ENVID", ParseEnvID, "a+0D+0A", ""}, {"ENVID", ParseEnvID, "a+FF", ""}, {"ENVID", ParseEnvID, "ü", ""},
		{"NOTIFY", ParseNotify, "never", "NEVER"}, {"NOTIFY", ParseNotify, "Success,delay", "SUCCESS,DELAY"}, {"NOTIFY", ParseNotify, "FAILURE,FAILURE", "FAILURE"},
		{"NOTIFY", ParseNotify, "NEVER,NEVER", "NEVER"}, {"NOTIFY", ParseNotify, "NEVER,DELAY", ""}, {"NOTIFY", ParseNotify, "", ""}, {"NOTIFY", ParseNotify, "SUCCESS,", ""}, {"NOTIFY", ParseNotify, ",SUCCESS", ""}, {"NOTIFY", ParseNotify, "ALWAYS", ""},
		{"ORCPT", ParseORcpt, "rfc822;Bob@Example.COM", "rfc822;Bob@Example.COM"}, {"ORCPT", ParseORcpt, "rfc822;a+2Bb@x", "rfc822;a+b@x"}, {"ORCPT", ParseORcpt, "x400;/c=+41", ""},
		{"ORCPT", ParseORcpt, "X400;/c+3Dus/", "X400;/c=us/"}, {"ORCPT", ParseORcpt, "rfc822", ""}, {"ORCPT", ParseORcpt, ";a@x", ""}, {"ORCPT", ParseORcpt, "rfc822;", ""},
		{"ORCPT", ParseORcpt, "a b;x", ""}, {"ORCPT", ParseORcpt, "rfc(822);x", ""}, {"ORCPT", ParseORcpt, "ü;x", ""}, {"ORCPT", ParseORcpt, "rfc822;gr+C3+BCn@x", ""}, {"ORCPT", ParseORcpt, "rfc822;grün@x", ""},
		{"ORCPT", ParseORcpt, "rfc822;" + strings.Repeat("x", 493), "rfc822;" + strings.Repeat("x", 493)}, {"ORCPT", ParseORcpt, "rfc822;" + strings.Repeat("x", 494), ""},
		{"ORCPT", ParseORcpt, "utf-8;grün@x", "utf-8;grün@x"}, {"ORCPT", ParseORcpt, `UTF-8;gr\x{FC}n\x{2b}a@x`, "UTF-8;grün+a@x"}, {"ORCPT", ParseORcpt, `utf-8;a\x{20}b`, "utf-8;a b"},
		{"ORCPT", ParseORcpt, `utf-8;a+2Bb@x`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{D800}`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{0A}`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{41}`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{1F600`, ""},
		{"ORCPT", ParseORcpt, `utf-8;\u{FC}`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{110000}`, ""}, {"ORCPT", ParseORcpt, `utf-8;\x{0000FC}`, "utf-8;ü"}, {"ORCPT", ParseORcpt, `utf-8;\x{C}`, ""}, {"ORCPT", ParseORcpt, "utf-8;\xff", ""}, {"ORCPT", ParseORcpt, "utf-8;a\u0085b", ""},
	} {
		got, err := c.parse(c.in)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrParameter) {
			t.Errorf("%s=%s: %q, %v; want %q", c.name, c.in, got, err, c.want)
		}
	}
}

func TestEncodeORcpt(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		want string
	}{
		{"rfc822;a+b@x", false, "rfc822;a+2Bb@x"},
		{"utf-8;grün+a@x", true, `utf-8;grün\x{2B}a@x`},
		{"utf-8;grün@x", false, `utf-8;gr\x{FC}n@x`},
		{"utf-8;\U0001F600@x", false, `utf-8;\x{1F600}@x`},
	} {
		if got := EncodeORcpt(c.in, c.utf8); got != c.want {
			t.Errorf("EncodeORcpt(%q, %v) = %q, want %q", c.in, c.utf8, got, c.want)
		}
	}
}

// FuzzDSN gives the parsers of DSN parameters anything: what they take is clean
// and survives being passed on.
func FuzzDSN(f *testing.F) {
	for _, s := range []string{"FULL", "NEVER", "SUCCESS,DELAY", "rfc822;a+2Bb@x", `utf-8;gr\x{FC}n@x`, "utf-8;grün@x", "QQ+3D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseEnvID(s); err == nil {
			if back, err := DecodeXtext(EncodeXtext(id)); err != nil || back != id {
				t.Fatalf("ENVID %q came back as %q, %v", id, back, err)
			}
		}
		if n, err := ParseNotify(s); err == nil {
			if again, err := ParseNotify(n); err != nil || again != n {
				t.Fatalf("NOTIFY %q came back as %q, %v", n, again, err)
			}
		}
		ParseRet(s)
		orcpt, err := ParseORcpt(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(orcpt, "\r\n\x00") {
			t.Fatalf("control characters in %q", orcpt)
		}
		for _, utf8 := range []bool{false, true} {
			coded := EncodeORcpt(orcpt, utf8)
			if !utf8 && !isASCII(coded) {
				t.Fatalf("%q encoded as %q", orcpt, coded)
			}
			if back, err := ParseORcpt(coded); len(coded) <= MaxORcpt && (err != nil || back != orcpt) {
				t.Fatalf("%q came back as %q, %v", orcpt, back, err)
			}
		}
	})
}
