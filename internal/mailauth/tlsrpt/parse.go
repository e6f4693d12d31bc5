package tlsrpt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Bounds of what is read, whatever somebody sends: reports are from strangers.
const (
	MaxPacked   = 10 << 20 // bytes of a file or message
	maxUnpacked = 50 << 20 // bytes of JSON
	maxPolicies = 10_000
	maxObjects  = 100_000   // JSON objects: a policy has three, and one for each kind of failure
	maxValues   = 2_000_000 // and what commas part
	maxParts    = 50
	maxDepth    = 4
)

// Parse reads a report from a file: JSON, plain or compressed.
func Parse(r io.Reader) (*Report, error) {
	in := bufio.NewReader(io.LimitReader(r, MaxPacked+1))
	var text io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		defer z.Close()
		text = z
	}
	d := json.NewDecoder(&sparing{r: io.LimitReader(text, maxUnpacked)})
	report := new(Report)
	if err := d.Decode(report); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case len(report.Policies) == 0:
		return nil, fmt.Errorf("%w: no policies", ErrInvalid)
	case len(report.Policies) > maxPolicies:
		return nil, fmt.Errorf("%w: %d policies", ErrInvalid, len(report.Policies))
	}
	return report, nil
}

// sparing reads JSON until it has too many objects or values to be a report. Three
// bytes of text are some hundred of a Policy, and a few kilobytes of gzip are
// megabytes of text. What stands inside of strings is counted too.
type sparing struct {
	r               io.Reader
	objects, values int
}

var errTooMuch = errors.New("too many objects")

func (s *sparing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.objects += bytes.Count(p[:n], []byte{'{'})
	s.values += bytes.Count(p[:n], []byte{','})
	if s.objects > maxObjects || s.values > maxValues {
		return 0, errTooMuch
	}
	return n, err
}

// Read reads a report from a file of any form: a message, JSON, or compressed JSON.
func Read(r io.Reader) (*Report, error) {
	in := bufio.NewReader(r)
	first, _ := in.Peek(64)
	first = bytes.TrimLeft(first, " \t\r\n")
	if len(first) > 0 && (first[0] == '{' || first[0] == 0x1f) {
		return Parse(in)
	}
	return ParseMessage(in)
}

// ParseMessage finds the report in a message (RFC 8460 section 5.3): the first
// part that is one by its type.
func ParseMessage(r io.Reader) (*Report, error) {
	m, err := mail.ReadMessage(io.LimitReader(r, MaxPacked))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	s := search{left: maxParts}
	if err := s.part(partHeader(m.Header), m.Body, 0); err != nil {
		return nil, err
	}
	if s.found == nil {
		return nil, fmt.Errorf("%w: no report in the message", ErrInvalid)
	}
	return s.found, nil
}

// partHeader is a header of net/mail or mime/multipart.
type partHeader map[string][]string

func (h partHeader) get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

type search struct {
	left  int // parts that may still be looked at
	found *Report
}

func (s *search) part(h partHeader, body io.Reader, depth int) error {
	if s.left--; s.left < 0 || depth > maxDepth {
		return nil
	}
	kind, params, _ := mime.ParseMediaType(h.get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		return s.parts(multipart.NewReader(body, params["boundary"]), depth)
	}
	if !isReport(kind, h) {
		return nil
	}
	switch strings.ToLower(strings.TrimSpace(h.get("Content-Transfer-Encoding"))) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	report, err := Parse(body)
	s.found = report
	return err
}

func (s *search) parts(r *multipart.Reader, depth int) error {
	for s.found == nil && s.left > 0 {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if err := s.part(partHeader(p.Header), p, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// isReport goes by the type, and for senders that give another one by the name
// of the file.
func isReport(kind string, h partHeader) bool {
	switch kind {
	case "application/tlsrpt+json", "application/tlsrpt+gzip":
		return true
	case "application/gzip", "application/x-gzip", "application/json", "application/octet-stream":
		_, params, _ := mime.ParseMediaType(h.get("Content-Disposition"))
		name := strings.ToLower(params["filename"])
		return strings.HasSuffix(name, ".json.gz") || strings.HasSuffix(name, ".json")
	}
	return false
}

// IsReport reports whether a message with this Content-Type carries a report.
func IsReport(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "multipart/report" && strings.EqualFold(params["report-type"], "tlsrpt") ||
		kind == "application/tlsrpt+gzip" || kind == "application/tlsrpt+json"
}
