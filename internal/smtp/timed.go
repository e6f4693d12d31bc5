package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxSeconds is the longest interval that a parameter can name: nine digits.
const MaxSeconds = 999_999_999

// ParseHoldFor reads HOLDFOR: seconds, 1 to MaxSeconds (RFC 4865 section 3).
// Errors wrap ErrParameter.
func ParseHoldFor(value string) (time.Duration, error) {
	n, ok := parseDigits(value)
	if !ok || n == 0 || value[0] == '0' {
		return 0, fmt.Errorf("%w: HOLDFOR is a number of seconds", ErrParameter)
	}
	return time.Duration(n) * time.Second, nil
}

// ParseDateTime reads a point in time as RFC 3339 section 5.6 writes it; in
// UTC. Errors wrap ErrParameter.
func ParseDateTime(value string) (time.Time, error) {
	// time.Parse lets a comma and one-digit hours pass, which the grammar does not.
	if len(value) < len("2006-01-02T15:04:05Z") || strings.Contains(value, ",") {
		return time.Time{}, fmt.Errorf("%w: not a date and time", ErrParameter)
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(value))
	t = t.UTC()
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%w: not a date and time", ErrParameter)
	}
	return t, nil
}

// By is the value of BY (RFC 2852 section 4).
type By struct {
	In     time.Duration // from now, negative when it has passed; at most MaxSeconds either way
	Return bool          // "R": return the message then; otherwise "N": tell the sender
	Trace  bool          // "T": tell the sender of each relaying
}

// ParseBy reads BY: seconds, a semicolon and "R" or "N", with "T" perhaps. A
// time that is not in the future goes with "N" only. Errors wrap ErrParameter.
func ParseBy(value string) (By, error) {
	bad := fmt.Errorf("%w: BY is seconds;R or seconds;N, with T perhaps", ErrParameter)
	digits, mode, ok := strings.Cut(value, ";")
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	n, isNumber := parseDigits(digits)
	if !ok || !isNumber {
		return By{}, bad
	}
	if negative {
		n = -n
	}
	by := By{In: time.Duration(n) * time.Second}
	switch strings.ToUpper(mode) {
	case "N":
	case "NT":
		by.Trace = true
	case "R":
		by.Return = true
	case "RT":
		by.Return, by.Trace = true, true
	default:
		return By{}, bad
	}
	if by.Return && n <= 0 {
		return By{}, fmt.Errorf("%w: BY with R needs a time to come", ErrParameter)
	}
	return by, nil
}

// String is the value as it stands in BY, in whole seconds. With "R" it is one at
// least: less would be no value.
func (b By) String() string {
	const most = MaxSeconds * time.Second
	n, mode := min(max(b.In, -most), most)/time.Second, ";N"
	if b.Return {
		n, mode = max(n, 1), ";R"
	}
	s := strconv.FormatInt(int64(n), 10) + mode
	if b.Trace {
		s += "T"
	}
	return s
}

// Bounds of MT-PRIORITY (RFC 6710 section 3).
const (
	MinPriority = -9
	MaxPriority = 9
)

// ParsePriority reads MT-PRIORITY: -9 to 9 without a plus or leading zeros (RFC
// 6710 section 7). Errors wrap ErrParameter.
func ParsePriority(value string) (int, error) {
	digit := strings.TrimPrefix(value, "-")
	if len(digit) != 1 || !isDigit(digit[0]) || value == "-0" {
		return 0, fmt.Errorf("%w: MT-PRIORITY is -9 to 9", ErrParameter)
	}
	n := int(digit[0] - '0')
	if len(value) > 1 {
		n = -n
	}
	return n, nil
}

// RRVS is the value of RRVS: since when the mailbox must have belonged to the
// same person (RFC 7293 section 3.1).
type RRVS struct {
	Since    time.Time
	Continue bool // "C": where it cannot be passed on, drop the condition; otherwise refuse
}

// ParseRRVS reads RRVS: a date and time in whole seconds, with ";C" or ";R"
// perhaps. Errors wrap ErrParameter.
func ParseRRVS(value string) (RRVS, error) {
	date, action, given := strings.Cut(value, ";")
	t, err := ParseDateTime(date)
	if err != nil {
		return RRVS{}, err
	}
	if strings.Contains(date, ".") {
		return RRVS{}, fmt.Errorf("%w: RRVS has whole seconds", ErrParameter)
	}
	r := RRVS{Since: t, Continue: strings.EqualFold(action, "C")}
	if given && !r.Continue && !strings.EqualFold(action, "R") {
		return RRVS{}, fmt.Errorf("%w: RRVS has C or R behind its date", ErrParameter)
	}
	return r, nil
}

// String is the value as it stands in RRVS.
func (r RRVS) String() string {
	s := r.Since.Format(time.RFC3339)
	if r.Continue {
		s += ";C"
	}
	return s
}

// parseDigits reads one to nine digits.
func parseDigits(s string) (int64, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
