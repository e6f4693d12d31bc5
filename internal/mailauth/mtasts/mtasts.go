// Package mtasts reads MTA-STS records and policies (RFC 8461), and tells which
// mail hosts a policy allows. It fetches nothing.
package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthouse/internal/dns"
)

// Bounds (RFC 8461 section 3.2, 3.3).
const (
	MaxAge    = 31557600 * time.Second // of a policy: one year
	MaxPolicy = 64 << 10               // its size, in bytes
	maxHosts  = 200                    // mx lines that are read
	maxID     = 32
	maxName   = 32
)

// ErrNone means that a domain has no MTA-STS record.
var ErrNone = errors.New("mtasts: no record")

// ErrInvalid means that a record or policy cannot be read; wrapped with why.
var ErrInvalid = errors.New("mtasts: invalid")

// Mode is what a policy asks for.
type Mode string

// The modes (RFC 8461 section 5).
const (
	Enforce Mode = "enforce" // no delivery to hosts that fail
	Testing Mode = "testing" // failures are only reported
	None    Mode = "none"    // no policy any more
)

// Policy is what a domain asks of those who send it mail.
type Policy struct {
	Mode   Mode          `json:"mode"`
	MX     []string      `json:"mx"` // lower case; "*.example.net" is one label and the rest
	MaxAge time.Duration `json:"max_age"`
}

// RecordName is where a domain's record stands (RFC 8461 section 3.1).
func RecordName(domain string) string { return "_mta-sts." + domain }

// Host is the name of the server that has a domain's policy (RFC 8461 section 3.2).
func Host(domain string) string { return "mta-sts." + domain }

// Path is the policy's place on that server.
const Path = "/.well-known/mta-sts.txt"

// ParseRecord finds the policy's id among the texts at RecordName. Texts that
// do not begin with the version are passed over; unless one is left, and is as it
// must be, there is no policy (RFC 8461 section 3.1).
func ParseRecord(texts []string) (id string, err error) {
	var record string
	found := 0
	for _, t := range texts {
		if isRecord(t) {
			record = t
			found++
		}
	}
	if found == 0 {
		return "", ErrNone
	}
	if found > 1 {
		return "", fmt.Errorf("%w: %d records", ErrInvalid, found)
	}
	fields := strings.Split(record, ";")[1:] // behind the version
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	for _, field := range fields {
		name, value, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		name, value = strings.TrimRight(name, " \t"), strings.TrimLeft(value, " \t")
		switch {
		case !ok || !validName(name) || value == "" || strings.ContainsAny(value, "= \t"):
			return "", fmt.Errorf("%w: field %.40q", ErrInvalid, field)
		case name != "id" || id != "": // of doubles the first counts
			continue
		case !validID(value):
			return "", fmt.Errorf("%w: id %q", ErrInvalid, value)
		}
		id = value
	}
	if id == "" {
		return "", fmt.Errorf("%w: no id", ErrInvalid)
	}
	return id, nil
}

// validName is the name of a field: letters, digits, and behind the first of them
// "_", "-" and ".".
func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	return validID(strings.Map(func(c rune) rune {
		if strings.ContainsRune("_-.", c) {
			return -1
		}
		return c
	}, s)) && !strings.ContainsRune("_-.", rune(s[0]))
}

func isRecord(t string) bool {
	rest, ok := strings.CutPrefix(t, "v=STSv1")
	rest = strings.TrimLeft(rest, " \t")
	return ok && strings.HasPrefix(rest, ";")
}

func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// ParsePolicy reads a policy (RFC 8461 section 3.2). Fields it does not know are
// passed over, and of doubles, but for mx, the first counts.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > MaxPolicy {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, MaxPolicy)
	}
	p := new(Policy)
	seen := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n \t")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%w: line %.40q", ErrInvalid, line)
		}
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t")
		if seen[name] && name != "mx" {
			continue
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return nil, fmt.Errorf("%w: no %s", ErrInvalid, name)
		}
	}
	if len(p.MX) == 0 && p.Mode != None {
		return nil, fmt.Errorf("%w: no mx", ErrInvalid)
	}
	return p, nil
}

func (p *Policy) set(name, value string) error {
	bad := fmt.Errorf("%w: %s %.100q", ErrInvalid, name, value)
	switch name {
	case "version":
		if value != "STSv1" {
			return bad
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return bad
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 {
			return bad
		}
		p.MaxAge = time.Duration(min(n, uint64(MaxAge/time.Second))) * time.Second
	case "mx":
		host := strings.ToLower(value)
		base := strings.TrimPrefix(host, "*.")
		if c, err := dns.CanonicalName(base); err != nil || c != base || strings.Contains(base, "*") {
			return bad
		}
		if len(p.MX) < maxHosts {
			p.MX = append(p.MX, host)
		}
	}
	return nil
}

// Allows reports whether the policy names an MX host. A wildcard stands for
// exactly one label, the leftmost (RFC 8461 section 4.1).
func (p *Policy) Allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, _ := strings.Cut(host, ".")
	for _, mx := range p.MX {
		if base, wild := strings.CutPrefix(mx, "*."); wild && base == parent || mx == host {
			return true
		}
	}
	return false
}

// Text is the policy as it stands on the server, a line each, for reports (RFC
// 8460 section 4.4).
func (p *Policy) Text() []string {
	lines := []string{"version: STSv1", "mode: " + string(p.Mode)}
	for _, mx := range p.MX {
		lines = append(lines, "mx: "+mx)
	}
	return append(lines, "max_age: "+strconv.FormatInt(int64(p.MaxAge/time.Second), 10))
}
