package message

import "strings"

// scan calls fn for each byte of s outside quoted-strings and comments, until
// it answers false.
func scan(s string, fn func(i int) bool) {
	noQuote, noComment := false, false
	for i := 0; i < len(s); {
		switch {
		case s[i] == '"' && !noQuote:
			if _, n, ok := unquote(s[i:]); ok {
				i += n
				continue
			}
			noQuote = true
		case s[i] == '(' && !noComment:
			if n := commentEnd(s[i:]); n > 0 {
				i += n
				continue
			}
			noComment = true
		}
		if !fn(i) {
			return
		}
		i++
	}
}

// angle returns the place of the first "<" outside quotes and comments, or -1.
func angle(s string) int {
	at := strings.IndexByte(s, '<')
	if at < 0 || strings.IndexByte(s[:at], '"') < 0 && strings.IndexByte(s[:at], '(') < 0 {
		return at
	}
	at = -1
	scan(s, func(i int) bool {
		if s[i] == '<' {
			at = i
		}
		return at < 0
	})
	return at
}

// angleEnd returns the place of the ">" that ends an angle-addr, or len(s).
func angleEnd(s string) int {
	end := strings.IndexByte(s, '>')
	if end >= 0 && strings.IndexByte(s[:end], '"') < 0 && strings.IndexByte(s[:end], '(') < 0 {
		return end
	}
	end = len(s)
	scan(s, func(i int) bool {
		if s[i] == '>' {
			end = i
		}
		return end == len(s)
	})
	return end
}

// stripComments takes the comments out of s and returns the text of the last.
func stripComments(s string) (text, comment string) {
	if strings.IndexByte(s, '(') < 0 {
		return s, ""
	}
	var b strings.Builder
	last := 0
	noQuote, noComment := false, false
	for i := 0; i < len(s); {
		switch {
		case s[i] == '"' && !noQuote:
			if _, n, ok := unquote(s[i:]); ok {
				i += n
				continue
			}
			noQuote = true
		case s[i] == '(' && !noComment:
			if n := commentEnd(s[i:]); n > 0 {
				b.WriteString(s[last:i])
				b.WriteByte(' ')
				comment = strings.TrimSpace(unescape(s[i+1 : i+n-1]))
				i += n
				last = i
				continue
			}
			noComment = true
		}
		i++
	}
	b.WriteString(s[last:])
	return b.String(), comment
}

// phrase reads a display name (RFC 5322 section 3.2.5): words and quoted-strings
// with single spaces between them; and the last comment in it.
func phrase(s string) (name, comment string) {
	s, comment = stripComments(s)
	s = strings.Trim(s, " \t")
	if strings.IndexByte(s, '"') < 0 {
		return joinSpace(s), comment
	}
	if v, n, ok := unquote(s); ok && s[0] == '"' && n == len(s) {
		return v, comment
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			v, n, ok := unquote(s[i:])
			if !ok { // RFC 7103 section 7.1.6
				b.WriteString(strings.ReplaceAll(s[i+1:], `"`, ""))
				return b.String(), comment
			}
			b.WriteString(v)
			i += n
		case c == ' ' || c == '\t':
			b.WriteByte(' ')
			for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
				i++
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), comment
}

func joinSpace(s string) string {
	if strings.Contains(s, "  ") || strings.IndexByte(s, '\t') >= 0 {
		return strings.Join(strings.Fields(s), " ")
	}
	return s
}

// addrSpec reads an addr-spec without comments. Words before a bare address are
// a name whose angle brackets are missing; white space around dots and "@" goes
// (RFC 5322 section 4.4).
func addrSpec(s string) (name, local, host string) {
	s = strings.Trim(s, " \t")
	at := lastAt(s)
	if at < 0 {
		return "", unquoteLocal(s), ""
	}
	left, right := strings.TrimRight(s[:at], " \t"), strings.TrimLeft(s[at+1:], " \t")
	if strings.ContainsAny(right, " \t") {
		right = cutDomain(right)
	}
	host = strings.TrimRight(right, ".")
	if i := lastBreak(left); i >= 0 {
		name, _ = phrase(left[:i])
		left = left[i:]
	}
	return name, unquoteLocal(left), host
}

// lastAt returns the place of the last "@" outside a quoted-string and a domain
// literal, or -1.
func lastAt(s string) int {
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '[') < 0 {
		return strings.LastIndexByte(s, '@')
	}
	at := -1
	literal := false
	scan(s, func(i int) bool {
		switch s[i] {
		case '[':
			literal = at >= 0
		case ']':
			literal = false
		case '@':
			if !literal {
				at = i
			}
		}
		return true
	})
	return at
}

// cutDomain ends a domain at white space that is not beside a dot.
func cutDomain(s string) string {
	if s[0] == '[' {
		if i := strings.IndexByte(s, ']'); i >= 0 {
			return s[:i+1]
		}
	}
	var host strings.Builder
	dot := true
	for s != "" {
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		if !dot && s[0] != '.' {
			break
		}
		host.WriteString(s[:end])
		dot = s[end-1] == '.'
		s = strings.TrimLeft(s[end:], " \t")
	}
	return host.String()
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// lastBreak returns where the last word of a local part begins when words stand
// before it, or -1: white space beside a dot does not part words.
func lastBreak(s string) int {
	last := -1
	if strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, '\t') < 0 {
		return last
	}
	scan(s, func(i int) bool {
		if !isSpace(s[i]) || i > 0 && isSpace(s[i-1]) {
			return true
		}
		after := strings.TrimLeft(s[i:], " \t")
		before := strings.TrimRight(s[:i], " \t")
		if !strings.HasPrefix(after, ".") && !strings.HasSuffix(before, ".") {
			last = len(s) - len(after)
		}
		return true
	})
	return last
}

// unquoteLocal takes quotes and stray white space out of a local part.
func unquoteLocal(s string) string {
	s = strings.Trim(s, " \t")
	if !strings.ContainsAny(s, "\" \t") {
		return s
	}
	var b strings.Builder
	noQuote := false
	for i := 0; i < len(s); {
		if s[i] == '"' {
			if v, n, ok := tryUnquote(s[i:], noQuote); ok {
				b.WriteString(v)
				i += n
				continue
			}
			noQuote = true
		} else if s[i] != ' ' && s[i] != '\t' {
			b.WriteByte(s[i])
		}
		i++
	}
	return b.String()
}

// tryUnquote is unquote unless an earlier one is known to have failed.
func tryUnquote(s string, failed bool) (string, int, bool) {
	if failed {
		return "", 0, false
	}
	return unquote(s)
}
