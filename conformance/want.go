package conformance

import (
	"fmt"
	"regexp"
	"strings"
)

// want is what a reply has to be.
type want struct {
	code     *regexp.Regexp
	enhanced *regexp.Regexp // nil: any
	text     *regexp.Regexp // nil: any
	source   string
}

var (
	codeForm     = regexp.MustCompile(`^[2-5][0-5x][0-9x](\|[2-5][0-5x][0-9x])*$`)
	enhancedForm = regexp.MustCompile(`^[245]\.([0-9]{1,3}|x)\.([0-9]{1,3}|x)(\|[245]\.([0-9]{1,3}|x)\.([0-9]{1,3}|x))*$`)
)

// parseWant reads "code [enhanced code] [/pattern/]". In codes x is any number, and | parts
// alternatives.
func (sc *scope) parseWant(s string) (*want, error) {
	w := &want{source: s}
	code, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	if !codeForm.MatchString(code) {
		return nil, fmt.Errorf("bad code %q", code)
	}
	w.code = regexp.MustCompile("^(" + strings.ReplaceAll(code, "x", "[0-9]") + ")$")
	rest = strings.TrimSpace(rest)
	if rest != "" && rest[0] != '/' {
		var enhanced string
		enhanced, rest, _ = strings.Cut(rest, " ")
		if !enhancedForm.MatchString(enhanced) {
			return nil, fmt.Errorf("bad enhanced code %q", enhanced)
		}
		enhanced = strings.NewReplacer(".", `\.`, "x", "[0-9]{1,3}").Replace(enhanced)
		w.enhanced = regexp.MustCompile("^(" + enhanced + ")$")
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		var err error
		w.text, err = sc.pattern(rest)
		return w, err
	}
	return w, nil
}

// met reports whether a reply is what is wanted. Enhanced codes are compared
// only where the server has promised them.
func (w *want) met(r *reply, promised bool) bool {
	switch {
	case !w.code.MatchString(r.code):
	case w.enhanced != nil && promised && !w.enhanced.MatchString(r.enhanced):
	case w.text != nil && !w.text.MatchString(r.text()):
	default:
		return true
	}
	return false
}
