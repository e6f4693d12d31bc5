package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest values of RFC 3461, as sent, in octets.
const (
	MaxEnvID = 100 // section 4.4
	MaxORcpt = 500 // section 4.2
)

// ParseRet reads RET: "FULL" or "HDRS", in upper case (RFC 3461 section 4.3).
// Errors wrap ErrParameter.
func ParseRet(value string) (string, error) {
	switch ret := strings.ToUpper(value); ret {
	case "FULL", "HDRS":
		return ret, nil
	}
	return "", fmt.Errorf("%w: RET is FULL or HDRS", ErrParameter)
}

// ParseEnvID reads ENVID and undoes its xtext: printable ASCII and white space
// (RFC 3461 section 4.4). Errors wrap ErrParameter.
func ParseEnvID(value string) (string, error) {
	if len(value) > MaxEnvID {
		return "", fmt.Errorf("%w: ENVID over %d octets", ErrParameter, MaxEnvID)
	}
	s, err := DecodeXtext(value)
	if err != nil || s == "" || !isGraphic(s) {
		return "", fmt.Errorf("%w: ENVID is printable ASCII in xtext", ErrParameter)
	}
	return s, nil
}

// ParseNotify reads NOTIFY: "NEVER", or words of SUCCESS, FAILURE and DELAY
// with commas (RFC 3461 section 4.1). The result is in upper case, no word
// twice. Errors wrap ErrParameter.
func ParseNotify(value string) (string, error) {
	var words []string
	seen := make(map[string]bool, 4)
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		switch word {
		case "NEVER", "SUCCESS", "FAILURE", "DELAY":
		default:
			return "", fmt.Errorf("%w: NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY", ErrParameter)
		}
		if !seen[word] {
			seen[word] = true
			words = append(words, word)
		}
	}
	if seen["NEVER"] && len(words) > 1 {
		return "", fmt.Errorf("%w: NOTIFY=NEVER stands alone", ErrParameter)
	}
	return strings.Join(words, ","), nil
}

// ParseORcpt reads ORCPT: "rfc822;" and an address in xtext (RFC 3461 section
// 4.2), or "utf-8;" and one in the encodings of RFC 6533 section 3. The result
// is "type;address" with the address decoded. Errors wrap ErrParameter.
func ParseORcpt(value string) (string, error) {
	kind, coded, ok := strings.Cut(value, ";")
	if len(value) > MaxORcpt || !ok || !isAtom(kind) {
		return "", fmt.Errorf("%w: ORCPT is type;address, at most %d octets", ErrParameter, MaxORcpt)
	}
	var addr string
	if strings.EqualFold(kind, "utf-8") {
		addr, ok = decodeUnitext(coded)
	} else {
		var err error
		addr, err = DecodeXtext(coded)
		ok = err == nil && isGraphic(addr)
	}
	if !ok || addr == "" {
		return "", fmt.Errorf("%w: ORCPT has a badly encoded address", ErrParameter)
	}
	return kind + ";" + addr, nil
}

// EncodeORcpt undoes ParseORcpt; utf8 is whether the peer offers SMTPUTF8, so
// that "utf-8;" addresses may stand as they are (RFC 6533 section 3).
func EncodeORcpt(orcpt string, utf8 bool) string {
	kind, addr, _ := strings.Cut(orcpt, ";")
	if strings.EqualFold(kind, "utf-8") {
		return kind + ";" + encodeUnitext(addr, utf8)
	}
	return kind + ";" + EncodeXtext(addr)
}

// decodeUnitext undoes the "\x{HEX}" of RFC 6533 section 3. Control characters
// are refused: the address will stand in a header.
func decodeUnitext(s string) (string, bool) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	var b strings.Builder
	for s != "" {
		switch c := s[0]; {
		case c == '\\':
			hex, rest, ok := strings.Cut(strings.TrimPrefix(s, `\x{`), "}")
			r, err := strconv.ParseUint(hex, 16, 21)
			if !ok || !strings.HasPrefix(s, `\x{`) || len(hex) < 2 || len(hex) > 6 || err != nil || !embeddable(rune(r)) {
				return "", false
			}
			b.WriteRune(rune(r))
			s = rest
		case c == ' ' || c == '+' || c == '=':
			return "", false
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), true
}

// embeddable is what "\x{HEX}" may stand for: what is not ASCII, and the ASCII
// that cannot stand for itself.
func embeddable(r rune) bool {
	return r > 0x9f && utf8.ValidRune(r) || r > 0 && r < utf8.RuneSelf && strings.ContainsRune(` +=\`, r)
}

func encodeUnitext(s string, utf8 bool) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0x7e && !utf8 || r <= ' ' || strings.ContainsRune(`+=\`, r) {
			fmt.Fprintf(&b, `\x{%02X}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isGraphic reports whether s is of graphic and white space characters of ASCII.
func isGraphic(s string) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] < ' ' || s[i] >= 0x7f) && s[i] != '\t' {
			return false
		}
	}
	return true
}

// isAtom is atom of RFC 5322 section 3.2.3, without UTF-8.
func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAtext(s[i]) {
			return false
		}
	}
	return s != "" && isASCII(s)
}
