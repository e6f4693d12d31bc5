package conformance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// scope gives the variables of a case their values.
type scope struct {
	vars map[string]string
	size int64 // the announced SIZE; 0 when there is none
	now  time.Time
}

// maxText bounds what one line may become, in bytes.
const maxText = 16 << 20

// expand replaces $name, ${name}, ${function arguments} and $$ in text; with
// escapes also \r \n \t \0 \\ and \xNN. A $ before anything else is itself. quote is
// applied to values.
func (sc *scope) expand(text string, escapes bool, quote func(string) string) (string, error) {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, `$\`)
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		var value string
		var err error
		if text[i] == '\\' {
			value, text, err = unescape(text[i:], escapes)
		} else {
			value, text, err = sc.dollar(text[i:], escapes, quote)
		}
		if err != nil {
			return "", err
		}
		if b.Len()+len(value) > maxText {
			return "", errors.New("the line is endless")
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// unescape reads the backslash sequence at the start of text.
func unescape(text string, escapes bool) (value, rest string, err error) {
	if !escapes {
		return text[:1], text[1:], nil
	}
	if len(text) < 2 {
		return "", "", errors.New("backslash at the end")
	}
	switch text[1] {
	case 'r':
		return "\r", text[2:], nil
	case 'n':
		return "\n", text[2:], nil
	case 't':
		return "\t", text[2:], nil
	case '0':
		return "\x00", text[2:], nil
	case '\\':
		return `\`, text[2:], nil
	case 'x':
		if len(text) >= 4 {
			if n, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				return string([]byte{byte(n)}), text[4:], nil
			}
		}
	}
	return "", "", fmt.Errorf("bad escape %.4q", text)
}

var variable = regexp.MustCompile(`^\$([a-z][a-z0-9]*)`)

// dollar reads the variable or function at the start of text.
func (sc *scope) dollar(text string, escapes bool, quote func(string) string) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "$$"):
		return "$", text[2:], nil
	case strings.HasPrefix(text, "${"):
		end := closing(text)
		if end < 0 {
			return "", "", errors.New("${ without }")
		}
		value, err = sc.call(text[2:end], escapes)
		return quote(value), text[end+1:], err
	}
	m := variable.FindStringSubmatch(text)
	if m == nil {
		return "$", text[1:], nil
	}
	value, ok := sc.vars[m[1]]
	if !ok {
		return "", "", fmt.Errorf("no variable %s", m[0])
	}
	return quote(value), text[len(m[0]):], nil
}

// closing finds the brace that closes the one at text[1]; -1 when there is none.
func closing(text string) int {
	depth := 0
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// call is what stands in ${…}: a name, or a function with its arguments.
func (sc *scope) call(text string, escapes bool) (string, error) {
	name, arg, _ := strings.Cut(text, " ")
	if value, ok := sc.vars[name]; ok && arg == "" {
		return value, nil
	}
	arg, err := sc.expand(arg, escapes, asItIs)
	if err != nil {
		return "", err
	}
	switch name {
	case "repeat": // N TEXT
		count, what, _ := strings.Cut(arg, " ")
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || n*len(what) > maxText {
			return "", fmt.Errorf("repeat %q", count)
		}
		return strings.Repeat(what, n), nil
	case "len":
		return strconv.Itoa(len(arg)), nil
	case "upper":
		return strings.ToUpper(arg), nil
	case "b64":
		return base64.StdEncoding.EncodeToString([]byte(arg)), nil
	case "time": // from now, RFC 3339 in UTC
		d, err := time.ParseDuration(arg)
		return sc.now.Add(d).UTC().Format("2006-01-02T15:04:05Z"), err
	case "size": // the announced SIZE and some octets
		n, err := strconv.ParseInt(arg, 10, 64)
		return strconv.FormatInt(sc.size+n, 10), err
	case "fill": // lines of so many octets more than the announced SIZE
		n, err := strconv.ParseInt(arg, 10, 64)
		if n += sc.size; err != nil || n < 0 || n > maxText {
			return "", fmt.Errorf("fill %q of a size of %d", arg, sc.size)
		}
		const row = "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"
		whole := strings.Repeat(row, int(n)/len(row)+1)
		return whole[:int(n)/len(row)*len(row)] + strings.Repeat("x", int(n)%len(row)), nil
	}
	return "", fmt.Errorf("no function %s", name)
}

func asItIs(s string) string { return s }

// text expands what is sent or compared.
func (sc *scope) text(s string) (string, error) { return sc.expand(s, true, asItIs) }

// pattern expands and compiles a regular expression in slashes.
func (sc *scope) pattern(s string) (*regexp.Regexp, error) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '/' || s[len(s)-1] != '/' {
		return nil, fmt.Errorf("%q is not a pattern in slashes", s)
	}
	s, err := sc.expand(s[1:len(s)-1], false, regexp.QuoteMeta)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(s)
}
