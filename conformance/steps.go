package conformance

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// action is what a step does. more is whether the case goes on.
type action func(d *dialogue, arg string) (more bool, err error)

// always wraps an action after which a case goes on.
func always(fn func(d *dialogue, arg string) error) action {
	return func(d *dialogue, arg string) (bool, error) {
		err := fn(d, arg)
		return err == nil, err
	}
}

// actions are the steps by their first word.
func actions() map[string]action {
	return map[string]action{
		"C:":       always((*dialogue).line),
		"R:":       always((*dialogue).raw),
		"pause":    always((*dialogue).pause),
		"S:":       always((*dialogue).expect),
		"S*":       always((*dialogue).expectMany),
		"S|":       (*dialogue).orElse,
		"closed":   always((*dialogue).closed),
		"gone":     always((*dialogue).gone),
		"silent":   always((*dialogue).silent),
		"GREET":    always((*dialogue).greet),
		"HELLO":    always((*dialogue).hello),
		"STARTTLS": always((*dialogue).startTLS),
		"TLS":      always((*dialogue).handshake),
		"LOGIN":    always((*dialogue).login),
		"SCRAM":    always((*dialogue).scram),
		"READY":    always((*dialogue).ready),
		"keyword":  always((*dialogue).keyword),
		"missing":  always((*dialogue).missing),
		"deliver":  always((*dialogue).deliver),
		"body=":    always((*dialogue).body),
		"header":   always((*dialogue).header),
		"noheader": always((*dialogue).noHeader),
		"contains": always((*dialogue).contains),
		"lacks":    always((*dialogue).lacks),
	}
}

// check finds mistakes in a step before anybody runs it.
func (s *step) check() error {
	if _, known := actions()[s.verb]; !known {
		return fmt.Errorf("no step is called %q", s.verb)
	}
	sc := sampleScope()
	var err error
	switch s.verb {
	case "C:", "R:", "body=":
		_, err = sc.text(s.arg)
	case "S:", "S|":
		_, err = sc.parseWant(s.arg)
	case "S*":
		_, _, err = sc.parseMany(s.arg)
	case "header", "noheader", "contains", "lacks":
		_, err = sc.pattern(s.arg)
	case "keyword":
		_, _, err = sc.parseKeyword(s.arg)
	case "missing":
		if s.arg == "" {
			err = errors.New("which keyword?")
		}
	case "deliver":
		_, err = sc.parseDelivery(s.arg)
	case "silent":
		_, err = time.ParseDuration(s.arg)
	case "TLS":
		_, _, err = parseTLS(s.arg)
	case "SCRAM":
		_, _, err = parseScram(s.arg)
	default:
		if s.arg != "" && !strings.HasPrefix(s.arg, "#") {
			err = fmt.Errorf("%s takes no argument", s.verb)
		}
	}
	return err
}

// sampleScope has a value for every variable.
func sampleScope() *scope {
	sc := &scope{vars: make(map[string]string), now: time.Unix(1e9, 0), size: 10_000}
	for _, name := range variables {
		sc.vars[name] = "x"
	}
	return sc
}

// parseKeyword reads "NAME [/pattern/]"; the pattern is nil when there is none.
func (sc *scope) parseKeyword(arg string) (name string, pattern *regexp.Regexp, err error) {
	name, rest, _ := strings.Cut(arg, " ")
	if name == "" {
		return "", nil, errors.New("which keyword?")
	}
	if rest != "" {
		pattern, err = sc.pattern(rest)
	}
	return name, pattern, err
}

// parseMany reads "COUNT reply".
func (sc *scope) parseMany(arg string) (n int, w *want, err error) {
	count, rest, _ := strings.Cut(arg, " ")
	if n, err = strconv.Atoi(count); err != nil || n < 1 {
		return 0, nil, fmt.Errorf("bad count %q", count)
	}
	w, err = sc.parseWant(rest)
	return n, w, err
}

// keyword wants a keyword in the last answer to EHLO, with parameters that match.
func (d *dialogue) keyword(arg string) error {
	name, pattern, err := d.scope.parseKeyword(arg)
	if err != nil {
		return err
	}
	value, ok := d.ehlo[name]
	if !ok {
		return fmt.Errorf("%s is not announced", name)
	}
	if pattern != nil && !pattern.MatchString(value) {
		return fmt.Errorf("%s is announced with %q, which does not match %s", name, value, pattern)
	}
	return nil
}

// missing wants a keyword not to be in the last answer to EHLO.
func (d *dialogue) missing(arg string) error {
	if value, ok := d.ehlo[arg]; ok {
		return fmt.Errorf("%s is announced, with %q", arg, value)
	}
	return nil
}
