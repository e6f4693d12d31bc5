// Package shaping is the knowledge of how much mail other hosts take from us:
// limits by destination, those of big providers among them, and rates. It is
// pure: no connections, no clock.
package shaping

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is so many in a length of time; the zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

var periods = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseRate reads "100/m": a number from 1, and s, m, h or d. "" is the zero Rate.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	num, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(strings.TrimSpace(num))
	for _, p := range periods {
		if err == nil && n > 0 && n <= 1_000_000_000 && p.name == strings.TrimSpace(unit) {
			return Rate{n, p.per}, nil
		}
	}
	return Rate{}, fmt.Errorf("%q is not a rate such as \"100/m\" (s, m, h, d)", s)
}

// String is what ParseRate reads.
func (r Rate) String() string {
	for _, p := range periods {
		if r.Per == p.per {
			return strconv.Itoa(r.Count) + "/" + p.name
		}
	}
	return ""
}

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// MarshalText is String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// IsZero reports whether there is no limit.
func (r Rate) IsZero() bool { return r.Count == 0 }

// Interval is the time from one to the next. Kept between any two, there are
// never more than Count in any stretch of Per.
func (r Rate) Interval() time.Duration {
	if r.Count == 0 {
		return 0
	}
	return (r.Per + time.Duration(r.Count) - 1) / time.Duration(r.Count)
}
