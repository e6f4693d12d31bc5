package classify

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Bounds of a document.
const (
	maxRules   = 5000
	maxPattern = 1000
	maxPause   = 24 * time.Hour
)

// rule is one line of the table. What is not set matches everything.
type rule struct {
	name     string
	codes    []int
	enhanced []enhancedPattern
	stages   []Stage
	texts    []string // one of them is in the text; lower case
	pattern  *regexp.Regexp

	class   Class
	scope   Scope
	action  Action
	pause   time.Duration
	hint    string
	samples []sample
}

// sample is a reply that a rule is for.
type sample struct {
	stage Stage
	reply smtp.Reply
	text  string // as it is written
}

// enhancedPattern is an enhanced code; -1 is any.
type enhancedPattern [3]int

func (p enhancedPattern) matches(e status.Enhanced) bool {
	for i, n := range [3]uint16{e.Class, e.Subject, e.Detail} {
		if p[i] >= 0 && p[i] != int(n) {
			return false
		}
	}
	return true
}

func (r *rule) matches(stage Stage, e status.Enhanced, text string) bool {
	if len(r.stages) > 0 && !slices.Contains(r.stages, stage) {
		return false
	}
	if len(r.enhanced) > 0 {
		if e.IsZero() || !slices.ContainsFunc(r.enhanced, func(p enhancedPattern) bool { return p.matches(e) }) {
			return false
		}
	}
	if len(r.texts) > 0 && !slices.ContainsFunc(r.texts, func(s string) bool { return strings.Contains(text, s) }) {
		return false
	}
	return r.pattern == nil || r.pattern.MatchString(text)
}

// verdict is what the rule says of a reply with a code.
func (r *rule) verdict(code int) Verdict {
	v := r.class.Verdict(code)
	v.Rule = r.name
	if r.scope != "" {
		v.Scope = r.scope
	}
	if r.hint != "" {
		v.Hint = r.hint
	}
	if r.action != "" {
		v.Action = r.action
	}
	if v.Action != StopSite {
		v.Pause = 0
	} else if r.pause > 0 {
		v.Pause = r.pause
	}
	return v
}

// document is the form of a file of rules.
type document struct {
	Rule []struct {
		Name     string   `toml:"name"`
		Code     []string `toml:"code"`
		Enhanced []string `toml:"enhanced"`
		Stage    []Stage  `toml:"stage"`
		Text     []string `toml:"text"`
		Match    string   `toml:"match"`
		Class    Class    `toml:"class"`
		Scope    Scope    `toml:"scope"`
		Action   Action   `toml:"action"`
		Pause    string   `toml:"pause"`
		Hint     string   `toml:"hint"`
		Samples  []string `toml:"samples"`
	} `toml:"rule"`
}

// parse reads a document.
func parse(name string, doc []byte) ([]*rule, error) {
	var d document
	dec := toml.NewDecoder(strings.NewReader(string(doc))).DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("%s: %w", name, tomlError(err))
	}
	if len(d.Rule) > maxRules {
		return nil, fmt.Errorf("%s: more than %d rules", name, maxRules)
	}
	rules := make([]*rule, len(d.Rule))
	for i := range d.Rule {
		f := &d.Rule[i]
		b := builder{rule: &rule{name: f.Name, stages: f.Stage, class: f.Class, scope: f.Scope, action: f.Action, hint: f.Hint}}
		b.names()
		b.codes(f.Code)
		b.enhanced(f.Enhanced)
		b.text(f.Text, f.Match)
		b.pause(f.Pause)
		b.samples(f.Samples)
		if b.err != nil {
			return nil, fmt.Errorf("%s: rule %q (number %d): %w", name, f.Name, i+1, b.err)
		}
		rules[i] = b.rule
	}
	return rules, nil
}

// tomlError tells where in the document the error is.
func tomlError(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		row, _ := strict.Errors[0].Position()
		return fmt.Errorf("line %d: unknown key %s", row, strings.Join(strict.Errors[0].Key(), "."))
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		row, _ := syntax.Position()
		return fmt.Errorf("line %d: %w", row, err)
	}
	return err
}

// builder checks the parts of a rule; err is the first fault.
type builder struct {
	rule *rule
	err  error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// names checks the words that come from closed sets.
func (b *builder) names() {
	r := b.rule
	if r.name == "" || strings.ContainsFunc(r.name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		b.fail("name is missing or has spaces")
	}
	if r.class.habit() == nil {
		b.fail("class %q does not exist", r.class)
	}
	for _, s := range r.stages {
		if !s.Valid() {
			b.fail("stage %q does not exist", s)
		}
	}
	if !slices.Contains([]Scope{"", Recipient, RecipientDomain, Content, SenderDomain, SourceAddress, Policy, Network}, r.scope) {
		b.fail("scope %q does not exist", r.scope)
	}
	if !slices.Contains([]Action{"", Retry, RetryElsewhere, StopSite, Bounce, Suppress}, r.action) {
		b.fail("action %q does not exist", r.action)
	}
}

// codes reads patterns such as "550", "45x" and "5xx".
func (b *builder) codes(list []string) {
	for _, s := range list {
		digits, wild := strings.TrimRight(s, "x"), strings.Count(s, "x")
		n, err := strconv.Atoi(digits)
		if len(s) != 3 || wild > 2 || err != nil || s[0] != '4' && s[0] != '5' {
			b.fail("code %q is not like \"550\", \"45x\" or \"5xx\"", s)
			return
		}
		width := [3]int{1, 10, 100}[wild]
		for i := range width {
			b.rule.codes = append(b.rule.codes, n*width+i)
		}
	}
}

// enhanced reads patterns such as "5.1.1" and "x.7.x".
func (b *builder) enhanced(list []string) {
	for _, s := range list {
		parts := strings.Split(s, ".")
		var p enhancedPattern
		ok := len(parts) == 3
		for i := 0; ok && i < 3; i++ {
			if parts[i] == "x" {
				p[i] = -1
				continue
			}
			n, err := strconv.ParseUint(parts[i], 10, 16)
			p[i], ok = int(n), err == nil && n < 1000
		}
		if !ok {
			b.fail("enhanced code %q is not like \"5.1.1\" or \"x.7.x\"", s)
			return
		}
		b.rule.enhanced = append(b.rule.enhanced, p)
	}
}

func (b *builder) text(texts []string, match string) {
	for _, s := range texts {
		s = normal(s)
		if s == "" || len(s) > maxPattern {
			b.fail("text is empty or longer than %d bytes", maxPattern)
		}
		b.rule.texts = append(b.rule.texts, s)
	}
	if match == "" {
		return
	}
	if len(match) > maxPattern {
		b.fail("match is longer than %d bytes", maxPattern)
		return
	}
	p, err := regexp.Compile(match)
	if err != nil {
		b.fail("match: %w", err)
	}
	b.rule.pattern = p
}

func (b *builder) pause(s string) {
	if s == "" {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxPause {
		b.fail("pause %q is not a duration up to %s such as \"30m\"", s, maxPause)
	}
	b.rule.pause = d
}

// samples reads replies, each "[stage] code [enhanced] text". Without a stage it
// is the rule's first one, or RCPT.
func (b *builder) samples(list []string) {
	for _, text := range list {
		s := sample{stage: StageRcpt, text: text}
		if len(b.rule.stages) > 0 {
			s.stage = b.rule.stages[0]
		}
		rest := text
		if word, after, _ := strings.Cut(text, " "); Stage(word).Valid() {
			s.stage, rest = Stage(word), after
		}
		reply, err := smtp.ParseReply(rest)
		if err != nil || reply.Code < 400 {
			b.fail("sample %q is not a reply of 400 to 599", text)
			return
		}
		s.reply = reply
		b.rule.samples = append(b.rule.samples, s)
	}
}

// replay checks that a rule's samples are decided by it.
func (t *Table) replay(r *rule) error {
	for _, s := range r.samples {
		if got := t.decide(s.stage, s.reply).Rule; got != r.name {
			return fmt.Errorf("rule %q: the sample %q is decided by %q", r.name, s.text, got)
		}
	}
	return nil
}
