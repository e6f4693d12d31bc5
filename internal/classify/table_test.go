package classify

import (
	"slices"
	"strings"
	"testing"

	"posthouse/internal/smtp"
)

func standard(t testing.TB) *Table {
	t.Helper()
	table, err := Standard()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Every rule decides each of its samples, and has one: a rule that cannot match,
// or that stands behind one that takes its replies, fails here.
func TestReplay(t *testing.T) {
	table, n := standard(t), 0
	for _, r := range table.rules {
		if len(r.samples) == 0 {
			t.Errorf("rule %q has no sample", r.name)
		}
		n += len(r.samples)
		if err := table.replay(r); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d rules, %d samples", table.Len(), n)
}

// verdictOf judges "stage code text".
func verdictOf(t *testing.T, table *Table, s string) Verdict {
	t.Helper()
	stage, text, _ := strings.Cut(s, " ")
	r, err := smtp.ParseReply(text)
	if err != nil {
		t.Fatal(err)
	}
	return table.Classify(Stage(stage), r)
}

func TestFallback(t *testing.T) {
	for _, tt := range []struct {
		reply  string
		class  Class
		action Action
	}{
		{"rcpt 550 5.1.1 xyzzy", BadMailbox, Suppress},
		{"rcpt 450 4.1.1 xyzzy", BadMailbox, Retry},
		{"rcpt 550 xyzzy", BadMailbox, Bounce}, // the bare code does not say enough to remember it
		{"mail 550 xyzzy", BadSender, Bounce},
		{"end-of-data 554 xyzzy", ContentRejected, Bounce},
		{"rcpt 452 xyzzy", TooManyRecipients, Retry},
		{"rcpt 552 xyzzy", TooManyRecipients, Retry},
		{"end-of-data 552 xyzzy", MessageTooBig, Bounce},
		{"end-of-data 452 xyzzy", System, RetryElsewhere},
		{"rcpt 451 xyzzy", System, RetryElsewhere},
		{"rcpt 450 xyzzy", Other, Retry},
		{"rcpt 479 xyzzy", Other, Retry},
		{"rcpt 579 xyzzy", Other, Bounce},
		{"greeting 554 xyzzy", System, RetryElsewhere},
		{"greeting 554 5.7.1 xyzzy", PolicyRefused, RetryElsewhere},
		{"greeting 521 xyzzy", BadDomain, Bounce},
		{"auth 535 5.7.8 xyzzy", Login, Retry},
		{"rcpt 350 xyzzy", Protocol, RetryElsewhere},
		{"rcpt 250 ok", "", ""},
	} {
		v := verdictOf(t, standard(t), tt.reply)
		if v.Class != tt.class || v.Action != tt.action {
			t.Errorf("%s: %+v", tt.reply, v)
		}
	}
	none := new(Table)
	for reply, action := range map[string]Action{"rcpt 550 5.1.1 x": Bounce, "rcpt 450 x": Retry, "greeting 554 x": RetryElsewhere} {
		if v := verdictOf(t, none, reply); v.Class != Other || v.Action != action {
			t.Errorf("without rules, %s: %+v", reply, v)
		}
	}
}

func TestClassesAreWhole(t *testing.T) {
	seen := map[Class]bool{}
	for _, c := range Classes() {
		if seen[c] {
			t.Errorf("%s is there twice", c)
		}
		seen[c] = true
		for _, code := range []int{450, 550} {
			v := c.Verdict(code)
			if v.Class != c || v.Action == "" || v.Hint == "" && c != Other || v.Scope == "" && c != Local {
				t.Errorf("%s with %d: %+v", c, code, v)
			}
			if code < 500 && v.Final() || (v.Action == StopSite) != (v.Pause > 0) {
				t.Errorf("%s with %d: %+v", c, code, v)
			}
		}
	}
}

const more = `
[[rule]]
name = "house-special"
code = ["55x"]
text = ["Come back AFTER   lunch"]
class = "rate-limited"
action = "stop-site"
pause = "90m"
samples = ["550 5.7.1 Please come back after lunch!"]

[[rule]]
name = "code-error"
code = ["451"]
class = "greylisted"
samples = ["451 whatever"]
`

func TestWith(t *testing.T) {
	table, err := standard(t).With("more.toml", []byte(more))
	if err != nil {
		t.Fatal(err)
	}
	v := verdictOf(t, table, "rcpt 550 Come back after lunch")
	if v.Rule != "house-special" || v.Action != StopSite || v.Pause.Minutes() != 90 || v.Scope != SourceAddress {
		t.Errorf("%+v", v)
	}
	if v := verdictOf(t, table, "rcpt 451 x"); v.Class != Greylisted {
		t.Errorf("a rule of the same name does not replace the old one: %+v", v)
	}
	if table.Len() != standard(t).Len()+1 {
		t.Errorf("%d rules", table.Len())
	}
}

func TestBadDocuments(t *testing.T) {
	const good = "[[rule]]\nname=\"x\"\nclass=\"spam\"\n"
	for doc, want := range map[string]string{
		"[[rule]":                                     "line 1",
		good + "colour = \"red\"":                     "line 4: unknown key rule.colour",
		"[[rule]]\nclass=\"spam\"":                    "name is missing",
		"[[rule]]\nname=\"x\"":                        "class \"\"",
		good + "code=[\"250\"]":                       "code \"250\"",
		good + "code=[\"5x0\"]":                       "code \"5x0\"",
		good + "code=[\"-5x\"]":                       "code \"-5x\"",
		good + "enhanced=[\"5.1\"]":                   "enhanced code \"5.1\"",
		good + "enhanced=[\"5.1.1000\"]":              "enhanced code",
		good + "stage=[\"lunch\"]":                    "stage \"lunch\"",
		good + "scope=\"moon\"":                       "scope \"moon\"",
		good + "action=\"shrug\"":                     "action \"shrug\"",
		good + "pause=\"2 weeks\"":                    "pause",
		good + "match=\"(\"":                          "match",
		good + "text=[\" \"]":                         "text is empty",
		good + "samples=[\"250 fine\"]":               "sample",
		good + good:                                   "two rules are named \"x\"",
		good + "code=[\"550\"]\nsamples=[\"551 no\"]": "is decided by",
	} {
		if _, err := standard(t).With("more.toml", []byte(doc)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "more.toml") {
			t.Errorf("%q: %v, want %q", doc, err, want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	table := standard(f)
	for _, r := range table.rules {
		for _, s := range r.samples {
			f.Add(string(s.stage), s.reply.String())
		}
	}
	classes := Classes()
	f.Fuzz(func(t *testing.T, stage, text string) {
		r, err := smtp.ParseReply(text)
		if err != nil {
			return
		}
		v := table.Classify(Stage(stage), r)
		if r.Code < 300 {
			if !v.IsZero() {
				t.Fatalf("%q: %+v", text, v)
			}
			return
		}
		if !slices.Contains(classes, v.Class) || v.Action == "" || (v.Action == StopSite) != (v.Pause > 0) {
			t.Fatalf("%q: %+v", text, v)
		}
		if r.Code < 500 && v.Final() {
			t.Fatalf("%q would be given up: %+v", text, v)
		}
	})
}

// A document of anybody's gives a table that works, or an error.
func FuzzRules(f *testing.F) {
	f.Add(more)
	f.Add("[[rule]]\nname='x'\nclass='other'\nmatch='(a*)*b'\nsamples=['550 aaa']")
	table := standard(f)
	f.Fuzz(func(t *testing.T, doc string) {
		n, err := table.With("fuzz", []byte(doc))
		if err != nil {
			return
		}
		if v := n.Classify(StageRcpt, smtp.Reply{Code: 550, Lines: []string{"aaa"}}); v.Action == "" {
			t.Fatalf("%+v", v)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	table := standard(b)
	r, err := smtp.ParseReply("550 5.7.999 a text of usual length that no rule has ever seen, from mx.example.net (in reply to RCPT TO)")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		table.Classify(StageRcpt, r)
	}
}
