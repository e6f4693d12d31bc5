package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The policy types (RFC 8460 section 4.4).
const (
	TLSA     = "tlsa"
	STS      = "sts"
	NoPolicy = "no-policy-found"
)

// Report is what one organisation saw of the TLS of another domain's hosts in a
// day (RFC 8460 section 4.4).
type Report struct {
	Organization string    `json:"organization-name"`
	Range        DateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	ID           string    `json:"report-id"`
	Policies     []Policy  `json:"policies"`
}

// DateRange is the time of a report, usually a day in UTC (RFC 8460 section 4.1).
type DateRange struct {
	Start Time `json:"start-datetime"`
	End   Time `json:"end-datetime"`
}

// Policy is one policy with how sessions under it did.
type Policy struct {
	Policy   Terms     `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Terms are the policy itself.
type Terms struct {
	Type   string  `json:"policy-type"`
	String Strings `json:"policy-string,omitempty"` // TLSA records, or the lines of an MTA-STS policy
	Domain string  `json:"policy-domain"`           // of recipients; for TLSA the host's
	MXHost Strings `json:"mx-host,omitempty"`       // patterns of an MTA-STS policy
}

// Summary counts sessions.
type Summary struct {
	Success int64 `json:"total-successful-session-count"`
	Failure int64 `json:"total-failure-session-count"`
}

// Failure is one kind of failed session.
type Failure struct {
	Type          string `json:"result-type"` // RFC 8460 section 4.3
	SendingIP     string `json:"sending-mta-ip,omitempty"`
	ReceivingHost string `json:"receiving-mx-hostname,omitempty"`
	ReceivingHelo string `json:"receiving-mx-helo,omitempty"`
	ReceivingIP   string `json:"receiving-ip,omitempty"`
	Count         int64  `json:"failed-session-count"`
	Additional    string `json:"additional-information,omitempty"`
	Reason        string `json:"failure-reason-code,omitempty"`
}

// Strings is a list; senders give a single string as well.
type Strings []string

// UnmarshalJSON reads a string or a list of strings.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = nil
		if one != "" {
			*s = Strings{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// Time is a time of RFC 3339; of others also without a zone, which is UTC.
type Time struct{ time.Time }

// UnmarshalJSON is lenient: a report is worth reading also when its dates are odd.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if v, err := time.Parse(layout, s); err == nil {
			t.Time = v.UTC()
			return nil
		}
	}
	return fmt.Errorf("%w: time %.40q", ErrInvalid, s)
}

// MarshalJSON is RFC 3339 in UTC, to the second.
func (t Time) MarshalJSON() ([]byte, error) {
	return json.Marshal(t.UTC().Format(time.RFC3339))
}

// Totals are the sums over all policies.
func (r *Report) Totals() (s Summary) {
	for i := range r.Policies {
		s.Success += r.Policies[i].Summary.Success
		s.Failure += r.Policies[i].Summary.Failure
	}
	return s
}

// Gzip is the report as it is sent: JSON, compressed (RFC 8460 section 5.2).
func (r *Report) Gzip() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// FileName is the report's name as an attachment (RFC 8460 section 5.1).
func (r *Report) FileName(submitter, domain string) string {
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", plainName(submitter), plainName(domain), r.Range.Start.Unix(), r.Range.End.Unix())
}

// plainName keeps what may stand in a file name between quotes.
func plainName(s string) string {
	return strings.Map(func(c rune) rune {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`"\/!:`, c) {
			return c
		}
		return '_'
	}, s)
}
