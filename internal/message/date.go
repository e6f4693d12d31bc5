package message

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads a Date field (RFC 5322 section 3.3, obsolete forms of section
// 4.3) and what else is found there: no weekday, no seconds, two-digit years,
// names of zones, asctime order, dashes between, ISO 8601. A zone that is
// missing or unknown means UTC. The answer is false when there is no date in it; the
// first second of the year 1 is none.
func ParseDate(raw string) (time.Time, bool) {
	t, ok := parseDate(raw)
	return t, ok && !t.IsZero()
}

func parseDate(raw string) (time.Time, bool) {
	if len(raw) > 1000 {
		raw = raw[:1000]
	}
	if raw == "" {
		return time.Time{}, false
	}
	text, _ := stripComments(raw)
	if t, err := time.Parse(time.RFC3339, strings.TrimSpace(text)); err == nil {
		return normalZone(t), t.Year() > 0
	}
	if strings.Contains(text, " :") || strings.Contains(text, ": ") {
		text = joinColons(text)
	}
	d := dateParser{day: -1, month: -1, year: -1}
	for text != "" {
		var tok string
		tok, text = dateToken(text)
		d.token(tok)
	}
	return d.time()
}

// joinColons takes white space around colons away (RFC 5322 section 4.3).
func joinColons(s string) string {
	parts := strings.Split(s, ":")
	for i := range parts {
		if i > 0 {
			parts[i] = strings.TrimLeft(parts[i], " \t")
		}
		if i < len(parts)-1 {
			parts[i] = strings.TrimRight(parts[i], " \t")
		}
	}
	return strings.Join(parts, ":")
}

// dateToken cuts the next word off; white space, commas and dashes between
// words part them, but a sign before digits is part of a zone.
func dateToken(s string) (tok, rest string) {
	s = strings.TrimLeft(s, " \t\r\n,;")
	end := 0
	for end < len(s) && strings.IndexByte(" \t\r\n,;", s[end]) < 0 {
		if end > 0 && (s[end] == '-' || s[end] == '+') {
			return s[:end], s[end:]
		}
		end++
	}
	return s[:end], s[end:]
}

type dateParser struct {
	day, month, year  int
	hour, minute, sec int
	clock             bool
	offset            int // seconds east of UTC
	pm, am            bool
}

func (d *dateParser) token(tok string) {
	word := strings.TrimPrefix(tok, "-")
	switch {
	case tok == "":
	case strings.IndexByte(tok, ':') > 0:
		if !d.clock {
			d.clock = d.clockTime(tok)
		}
	case d.clock && (tok[0] == '+' || tok[0] == '-'):
		d.numericZone(tok)
	case word != "" && '0' <= word[0] && word[0] <= '9':
		d.number(word)
	default:
		d.name(word)
	}
}

func (d *dateParser) number(s string) {
	s = strings.TrimRight(s, ".")
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return
	}
	switch {
	case d.day < 0 && len(s) <= 2 && n >= 1 && n <= 31:
		d.day = n
	case d.year < 0 && len(s) <= 4:
		d.year = n
		switch { // RFC 5322 section 4.3
		case len(s) <= 2 && n < 50:
			d.year += 2000
		case len(s) <= 3:
			d.year += 1900
		}
	}
}

// clockTime reads hh:mm[:ss[.frac]].
func (d *dateParser) clockTime(s string) bool {
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		return false
	}
	var v [3]int
	for i, p := range parts {
		p, _, _ = strings.Cut(p, ".")
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return false
		}
		v[i] = n
	}
	if v[0] > 24 || v[1] > 59 || v[2] > 60 { // 60: a leap second
		return false
	}
	d.hour, d.minute, d.sec = v[0], v[1], min(v[2], 59)
	return true
}

// numericZone reads +hhmm; "-0000" is UTC.
func (d *dateParser) numericZone(s string) {
	n, err := strconv.Atoi(s[1:])
	if err != nil || n < 0 {
		return
	}
	if len(s) <= 3 { // "+02"
		n *= 100
	}
	off := (n/100)*3600 + (n%100)*60
	if n/100 > 23 || n%100 > 59 {
		return
	}
	if s[0] == '-' {
		off = -off
	}
	d.offset = off
}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// zones are the obsolete ones (RFC 5322 section 4.3), in hours, and some that
// are met often. Military zones count as UTC there.
var zones = map[string]int{
	"ut": 0, "gmt": 0, "utc": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5,
	"mst": -7, "mdt": -6, "pst": -8, "pdt": -7, "cet": 1, "cest": 2, "met": 1, "mest": 2,
	"bst": 1, "eet": 2, "eest": 3, "msk": 3, "jst": 9, "kst": 9,
}

func (d *dateParser) name(s string) {
	s = strings.ToLower(strings.TrimRight(s, "."))
	if hours, ok := zones[s]; ok && d.clock {
		d.offset = hours * 3600
		return
	}
	switch s {
	case "pm":
		d.pm = true
	case "am":
		d.am = true
	}
	if len(s) >= 3 && d.month < 0 {
		if i := strings.Index(months, s[:3]); i >= 0 && i%3 == 0 {
			d.month = i/3 + 1
		}
	}
}

func (d *dateParser) time() (time.Time, bool) {
	if d.day < 0 || d.month < 0 || d.year < 0 {
		return time.Time{}, false
	}
	if d.pm && d.hour < 12 {
		d.hour += 12
	} else if d.am && d.hour == 12 {
		d.hour = 0
	}
	loc := time.UTC
	if d.offset != 0 {
		loc = time.FixedZone("", d.offset)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.sec, 0, loc)
	return t, t.Day() == d.day || d.hour == 24 // "31 Feb" is no date
}

// normalZone takes the name of the zone away, so that equal dates are equal.
func normalZone(t time.Time) time.Time {
	t = t.Truncate(time.Second)
	_, off := t.Zone()
	if off == 0 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", off))
}
