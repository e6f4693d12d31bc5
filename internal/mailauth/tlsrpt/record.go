// Package tlsrpt is SMTP TLS Reporting (RFC 8460): the record by which a domain
// asks for reports, the report, and the message that carries it. It looks up,
// counts and sends nothing.
package tlsrpt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"posthouse/internal/smtp"
)

// ErrNone means that a domain asks for no reports.
var ErrNone = errors.New("tlsrpt: no record")

// ErrInvalid means that a record or report cannot be read; wrapped with why.
var ErrInvalid = errors.New("tlsrpt: invalid")

// maxURIs bounds the places that one domain may ask reports to.
const maxURIs = 5

// Record is where a domain wants reports.
type Record struct {
	Mail  []smtp.Address
	HTTPS []string // URLs
}

// RecordName is where a domain's record stands (RFC 8460 section 3).
func RecordName(domain string) string { return "_smtp._tls." + domain }

// ParseRecord finds the record among the texts at RecordName. Texts that do not
// begin with the version are passed over; unless one is left there is none. Places
// of kinds that are not known are passed over, if one is left.
func ParseRecord(texts []string) (*Record, error) {
	var record string
	found := 0
	for _, t := range texts {
		if rest, ok := strings.CutPrefix(t, "v=TLSRPTv1"); ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";") {
			record = rest
			found++
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%w: %d records", ErrNone, found)
	}
	for field := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(field, "=")
		if strings.Trim(name, " \t") == "rua" {
			return parsePlaces(value)
		}
	}
	return nil, fmt.Errorf("%w: no rua", ErrInvalid)
}

func parsePlaces(list string) (*Record, error) {
	r := new(Record)
	n := 0
	for text := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.Trim(text, " \t"))
		if err != nil || n == maxURIs {
			continue
		}
		switch u.Scheme {
		case "mailto":
			to, err := url.PathUnescape(u.Opaque)
			if err != nil {
				continue
			}
			a, err := smtp.ParseAddress(to)
			if err != nil || a.Domain == "" || !a.IsASCII() {
				continue
			}
			r.Mail = append(r.Mail, a)
		case "https":
			if u.Host == "" || u.User != nil {
				continue
			}
			r.HTTPS = append(r.HTTPS, u.String())
		default:
			continue
		}
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: rua %.100q", ErrInvalid, list)
	}
	return r, nil
}
