package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Errors of the command parsers.
var (
	ErrSyntax    = errors.New("smtp: bad command syntax")
	ErrParameter = errors.New("smtp: bad parameter")
)

// Command is one command line (RFC 5321 section 2.4).
type Command struct {
	Verb string // upper case
	Arg  string // what follows, without surrounding white space
}

// ParseCommand splits a line, without its CRLF, into verb and argument. ErrSyntax
// when it does not begin with a word of letters, or holds control characters.
// CRs at the end are white space: scripts send CR CR LF.
func ParseCommand(line []byte) (Command, error) {
	line = bytes.TrimRight(line, "\r")
	n := 0
	for n < len(line) && (line[n] >= 'a' && line[n] <= 'z' || line[n] >= 'A' && line[n] <= 'Z') {
		n++
	}
	if n == 0 || n < len(line) && line[n] != ' ' && line[n] != '\t' {
		return Command{}, ErrSyntax
	}
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return Command{}, ErrSyntax
		}
	}
	return Command{
		Verb: strings.ToUpper(string(line[:n])),
		Arg:  strings.Trim(string(line[n:]), " \t"),
	}, nil
}

// Mailing is what MAIL and RCPT have after their verb: a path and parameters.
type Mailing struct {
	Path   Address
	Params Params
}

// ParseMail parses "FROM:<path> parameters". The path may be UTF-8 whatever the
// parameters say; see Address.IsASCII. Errors wrap ErrSyntax, ErrAddress,
// ErrTooLong or ErrParameter.
func ParseMail(arg string) (Mailing, error) {
	return parseMailing(arg, "FROM:", ParseReversePath)
}

// ParseRcpt parses "TO:<path> parameters", like ParseMail.
func ParseRcpt(arg string) (Mailing, error) {
	return parseMailing(arg, "TO:", ParsePath)
}

func parseMailing(arg, keyword string, parse func(string, bool) (Address, string, error)) (Mailing, error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return Mailing{}, fmt.Errorf("%w: no %s", ErrSyntax, keyword)
	}
	// No space belongs here (RFC 5321 section 3.3), but many clients send one;
	// and old ones send the address without its brackets.
	s := strings.TrimLeft(arg[len(keyword):], " \t")
	if s == "" {
		return Mailing{}, fmt.Errorf("%w: no address", ErrSyntax)
	}
	if s[0] != '<' {
		address, params, _ := strings.Cut(s, " ")
		s = "<" + address + "> " + params
	}
	path, rest, err := parse(s, true)
	if err != nil {
		return Mailing{}, err
	}
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return Mailing{}, fmt.Errorf("%w: no space after the path", ErrSyntax)
	}
	params, err := ParseParams(rest)
	if err != nil {
		return Mailing{}, err
	}
	return Mailing{Path: path, Params: params}, nil
}

// Param is one ESMTP parameter (RFC 5321 section 4.1.2).
type Param struct {
	Key   string // upper case
	Value string // "" when there is none
}

// Params are the parameters of a command in their order, no key twice.
type Params []Param

// Get finds a parameter's value.
func (p Params) Get(key string) (value string, ok bool) {
	for _, param := range p {
		if param.Key == key {
			return param.Value, true
		}
	}
	return "", false
}

// ParseParams parses parameters that are separated by white space. Errors wrap
// ErrParameter.
func ParseParams(s string) (Params, error) {
	var params Params
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }) {
		key, value, hasValue := strings.Cut(field, "=")
		key = strings.ToUpper(key)
		if !validKey(key) || hasValue && !validValue(value) {
			return nil, fmt.Errorf("%w: %q", ErrParameter, field)
		}
		if _, twice := params.Get(key); twice {
			return nil, fmt.Errorf("%w: %s twice", ErrParameter, key)
		}
		params = append(params, Param{Key: key, Value: value})
	}
	return params, nil
}

// validKey is esmtp-keyword.
func validKey(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// validValue is esmtp-value, which RFC 6531 section 3.3 widens to UTF-8.
func validValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == '=' || s[i] == 0x7f {
			return false
		}
	}
	return s != "" && utf8.ValidString(s)
}
