package smtp

import (
	"strconv"
	"strings"
)

// Extensions is what a server offers in its reply to EHLO (RFC 5321 section
// 4.1.1.1): keywords in upper case and their parameters as given.
type Extensions map[string]string

// ParseEHLO reads the keywords from a reply to EHLO or LHLO.
func ParseEHLO(r Reply) Extensions {
	ext := make(Extensions)
	if r.Code != 250 || len(r.Lines) < 2 {
		return ext
	}
	for _, line := range r.Lines[1:] {
		key, param, _ := strings.Cut(strings.TrimSpace(line), " ")
		// "AUTH=LOGIN" is a leftover of drafts before RFC 2554.
		if k, p, ok := strings.Cut(key, "="); ok && strings.EqualFold(k, "AUTH") {
			key, param = k, p+" "+param
		}
		key = strings.ToUpper(key)
		if !validKey(key) {
			continue
		}
		param = strings.TrimSpace(param)
		if had, twice := ext[key]; twice && key == "AUTH" {
			param = strings.TrimSpace(had + " " + param)
		}
		ext[key] = param
	}
	return ext
}

// Has reports whether a keyword is offered.
func (e Extensions) Has(key string) bool {
	_, ok := e[key]
	return ok
}

// Size is the largest message that the server takes, in octets; 0 when it does
// not say or says there is no limit (RFC 1870 section 4).
func (e Extensions) Size() int64 {
	n, err := strconv.ParseInt(e["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Auth is the SASL mechanisms offered, in upper case.
func (e Extensions) Auth() []string { return strings.Fields(strings.ToUpper(e["AUTH"])) }
