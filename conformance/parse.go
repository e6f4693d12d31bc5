package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrFormat is wrapped by what is wrong with a file of cases.
var ErrFormat = errors.New("bad case")

// Parse reads the cases of one subject. Errors wrap ErrFormat and name the line.
func Parse(subject, text string) ([]*Case, error) {
	p := parser{file: subject, names: make(map[string]bool)}
	for i, line := range strings.Split(text, "\n") {
		p.line = i + 1
		if err := p.parseLine(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, fmt.Errorf("%w: %s.txt:%d: %w", ErrFormat, subject, p.line, err)
		}
	}
	if err := p.end(); err != nil {
		return nil, fmt.Errorf("%w: %s.txt:%d: %w", ErrFormat, subject, p.line, err)
	}
	return p.cases, nil
}

type parser struct {
	file  string
	line  int
	names map[string]bool
	cases []*Case
	c     *Case // under way
}

func (p *parser) parseLine(line string) error {
	name, begins := strings.CutPrefix(line, "== ")
	switch {
	case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
		return nil
	case begins:
		return p.begin(strings.TrimSpace(name))
	case p.c == nil:
		return errors.New(`a case begins with "== name"`)
	}
	verb, arg := splitLine(line)
	if len(p.c.steps) == 0 {
		if known, err := p.field(verb, arg); known {
			return err
		}
	}
	s := step{line: p.line, verb: verb, arg: arg}
	if err := s.check(); err != nil {
		return err
	}
	p.c.steps = append(p.c.steps, s)
	return nil
}

// splitLine parts the word in front from the rest. One space after the word
// belongs to neither.
func splitLine(line string) (verb, arg string) {
	verb, arg, _ = strings.Cut(line, " ")
	return verb, arg
}

func (p *parser) begin(name string) error {
	if err := p.end(); err != nil {
		return err
	}
	if name == "" || p.names[name] {
		return fmt.Errorf("the name %q is not the first of its kind", name)
	}
	p.names[name] = true
	p.c = &Case{File: p.file, Name: name, Line: p.line, Notes: make(map[string]string)}
	return nil
}

// field takes a line of a case's head.
func (p *parser) field(verb, arg string) (known bool, err error) {
	switch verb {
	case "rfc:":
		p.c.RFC = append(p.c.RFC, arg)
	case "on:":
		for _, l := range strings.Fields(arg) {
			if !slices.Contains(Listeners, l) {
				return true, fmt.Errorf("no listener is called %q", l)
			}
			p.c.On = append(p.c.On, l)
		}
	case "requires:":
		p.c.Requires = append(p.c.Requires, strings.Fields(arg)...)
	case "postfix:", "dovecot:":
		server := strings.TrimSuffix(verb, ":")
		p.c.Notes[server] = strings.TrimSpace(p.c.Notes[server] + " " + arg)
	default:
		return false, nil
	}
	return true, nil
}

// end closes the case under way.
func (p *parser) end() error {
	if p.c == nil {
		return nil
	}
	if len(p.c.steps) == 0 || len(p.c.On) == 0 || len(p.c.RFC) == 0 {
		return fmt.Errorf("%q needs on:, rfc: and steps", p.c.Name)
	}
	p.cases = append(p.cases, p.c)
	p.c = nil
	return nil
}
