package mailbox

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("x", maxLevel)
	for _, test := range []struct {
		in, want string
		bad      bool
	}{
		{in: "Work", want: "Work"},
		{in: "inbox", want: "INBOX"},
		{in: "InBoX/a", want: "INBOX/a"},
		{in: "a/inbox", want: "a/inbox"},
		{in: "inboxes", want: "inboxes"},
		{in: "Entwu\u0308rfe", want: "Entwürfe"},
		{in: "100% *", want: "100% *"},
		{in: long, want: long},
		{in: long + "/" + long, want: long + "/" + long},
		{in: long + "x", bad: true},
		{in: long + "/" + long + "/x", bad: true},
		{in: "", bad: true},
		{in: "/a", bad: true},
		{in: "a/", bad: true},
		{in: "a//b", bad: true},
		{in: "a\x00", bad: true},
		{in: "a\r\n", bad: true},
		{in: "a\u0085", bad: true},
		{in: "a\u2028", bad: true},
		{in: "\xff", bad: true},
	} {
		got, err := CleanName(test.in)
		if test.bad != errors.Is(err, ErrBadName) || got != test.want {
			t.Errorf("CleanName(%q) = %q, %v", test.in, got, err)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"inbox", "a/b", "Entwu\u0308rfe", "/", "\xff", "INBOX/\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CleanName(s)
		if err != nil {
			return
		}
		if again, err := CleanName(name); err != nil || again != name {
			t.Errorf("%q is not clean: %q, %v", name, again, err)
		}
		if !utf8.ValidString(name) || !norm.NFC.IsNormalString(name) || name == "" || len(name) > maxName {
			t.Errorf("%q", name)
		}
	})
}

func TestNamesAreSorted(t *testing.T) {
	want := []string{"INBOX", "INBOX/a", "Archive", "a", "a/b", "a/b/c", "a b", "a-b", "b"}
	// siblings go by their bytes; a child stands right behind its parent
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, compareNames)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
