package classify

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"posthouse/internal/smtp"
)

// maxText is how much of a reply's text is looked at, in bytes.
const maxText = 4 << 10

//go:embed rules/*.toml
var rulesFS embed.FS

// Table is a list of rules; the first that matches decides. The zero Table has
// none and judges by the first digit of the code. It is safe for concurrent use.
type Table struct {
	rules  []*rule
	byCode map[int][]*rule // for every code that a rule names
	any    []*rule         // for all other codes
}

// Standard is the table that Posthouse comes with.
func Standard() (*Table, error) {
	files, err := rulesFS.ReadDir("rules")
	if err != nil {
		return nil, err
	}
	t := new(Table)
	for _, f := range files { // in the order of their names
		doc, err := rulesFS.ReadFile(path.Join("rules", f.Name()))
		if err != nil {
			return nil, err
		}
		rules, err := parse(f.Name(), doc)
		if err != nil {
			return nil, err
		}
		t.rules = append(t.rules, rules...)
	}
	return t, t.index()
}

// With is t with the rules of a TOML document before its own; one of the same
// name takes the old one's place in the world. Every sample in the document must
// be decided by its rule. name stands for the document in errors.
func (t *Table) With(name string, doc []byte) (*Table, error) {
	rules, err := parse(name, doc)
	if err != nil {
		return nil, err
	}
	replaced := make(map[string]bool, len(rules))
	for _, r := range rules {
		replaced[r.name] = true
	}
	n := &Table{rules: slices.Clone(rules)}
	for _, r := range t.rules {
		if !replaced[r.name] {
			n.rules = append(n.rules, r)
		}
	}
	if err := n.index(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, r := range rules {
		if err := n.replay(r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return n, nil
}

// index sorts the rules by the codes that they are for.
func (t *Table) index() error {
	names := make(map[string]bool, len(t.rules))
	t.byCode = make(map[int][]*rule)
	for _, r := range t.rules {
		if names[r.name] {
			return fmt.Errorf("two rules are named %q", r.name)
		}
		names[r.name] = true
		for _, c := range r.codes {
			t.byCode[c] = nil
		}
	}
	for _, r := range t.rules {
		if r.codes == nil {
			t.any = append(t.any, r)
		}
		for c := range t.byCode {
			if r.codes == nil || slices.Contains(r.codes, c) {
				t.byCode[c] = append(t.byCode[c], r)
			}
		}
	}
	return nil
}

// Len is the number of rules.
func (t *Table) Len() int { return len(t.rules) }

// Classify judges a reply of a server at some stage of the dialogue. A positive
// one means nothing at the stages where it is the answer hoped for; the verdict
// is zero then.
func (t *Table) Classify(stage Stage, r smtp.Reply) Verdict {
	if r.Code < 400 {
		if r.Positive() && r.Code < 300 {
			return Verdict{}
		}
		return Protocol.Verdict(450)
	}
	v := t.decide(stage, r)
	if stage.aboutSession() && v.Final() && r.Code != 521 {
		// Only "does not accept mail" is for good (RFC 7504 section 3).
		v.Action = RetryElsewhere
	}
	return v
}

// decide finds the rule.
func (t *Table) decide(stage Stage, r smtp.Reply) Verdict {
	list, ok := t.byCode[r.Code]
	if !ok {
		list = t.any
	}
	text := normal(r.Text())
	for _, rule := range list {
		if rule.matches(stage, r.Enhanced, text) {
			return rule.verdict(r.Code)
		}
	}
	return Other.Verdict(r.Code)
}

// normal is a text as rules see it: in lower case, one space between words.
func normal(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Join(strings.Fields(strings.ToLower(s)), " ")
}
