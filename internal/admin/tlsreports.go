package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// maxTLSReports is how many messages of an account are read for reports, the
// latest first.
const maxTLSReports = 1000

// TLSReport is a report on the TLS of our hosts that somebody sent to an account
// here (RFC 8460).
type TLSReport struct {
	Mailbox      string          `json:"mailbox"`
	UID          uint32          `json:"uid"`
	Received     time.Time       `json:"received"`
	ID           string          `json:"report_id,omitempty"`
	Organization string          `json:"organization,omitempty"`
	Contact      string          `json:"contact,omitempty"`
	Start        time.Time       `json:"start,omitzero"`
	End          time.Time       `json:"end,omitzero"`
	Success      int64           `json:"success" doc:"sessions"`
	Failure      int64           `json:"failure" doc:"sessions"`
	Policies     []tlsrpt.Policy `json:"policies,omitempty"`
	Error        string          `json:"error,omitempty" doc:"why the report could not be read"`
}

// NewTLSReport is a report in the form of the API.
func NewTLSReport(r *tlsrpt.Report) TLSReport {
	s := r.Totals()
	return TLSReport{
		ID: r.ID, Organization: r.Organization, Contact: r.Contact, Start: r.Range.Start.Time, End: r.Range.End.Time,
		Success: s.Success, Failure: s.Failure, Policies: r.Policies,
	}
}

// TLSReports reads the reports in the mailboxes of an account, the latest first.
func (h *House) TLSReports(ctx context.Context, address string) ([]TLSReport, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	account, err := h.Directory.Account(ctx, a)
	if err != nil {
		return nil, translate(err, address)
	}
	m, err := h.Mailboxes.Account(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	boxes, err := m.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	list := []TLSReport{}
	for _, info := range boxes {
		if !info.Exists {
			continue
		}
		found, err := tlsReportsIn(ctx, m, info.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", info.Name, err)
		}
		list = append(list, found...)
	}
	slices.SortStableFunc(list, func(a, b TLSReport) int { return cmp.Compare(b.Received.Unix(), a.Received.Unix()) })
	return list[:min(len(list), maxTLSReports)], nil
}

func tlsReportsIn(ctx context.Context, m *mailbox.Account, name string) ([]TLSReport, error) {
	box, err := m.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	snap := box.Snapshot()
	latest := func(yield func(mailbox.Entry) bool) {
		for i := snap.Len() - 1; i >= 0 && yield(snap.At(i)); i-- {
		}
	}
	var entries []mailbox.Entry
	err = box.Summaries(ctx, message.KeptWhole, latest, func(e mailbox.Entry, sum *message.Summary) bool {
		if isTLSReport(&sum.Root, 0) {
			entries = append(entries, e)
		}
		return len(entries) < maxTLSReports
	})
	if err != nil {
		return nil, err
	}
	var list []TLSReport
	for _, e := range entries {
		r := readTLSReport(ctx, box, e)
		r.Mailbox, r.UID, r.Received = name, e.UID, time.Unix(e.InternalDate, 0).UTC()
		list = append(list, r)
	}
	return list, nil
}

// isTLSReport goes by the types of the message and of the parts near its surface.
func isTLSReport(p *message.Part, depth int) bool {
	kind := strings.ToLower(p.Type + "/" + p.Subtype)
	if report := p.Param("report-type"); report != "" {
		kind += "; report-type=\"" + report + `"`
	}
	if tlsrpt.IsReport(kind) {
		return true
	}
	return depth < 2 && slices.ContainsFunc(p.Parts, func(child message.Part) bool { return isTLSReport(&child, depth+1) })
}

func readTLSReport(ctx context.Context, box *mailbox.Mailbox, e mailbox.Entry) TLSReport {
	body, err := box.Body(ctx, e)
	if err != nil {
		return TLSReport{Error: err.Error()}
	}
	defer body.Close()
	r, err := tlsrpt.ParseMessage(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return TLSReport{Error: err.Error()}
	}
	return NewTLSReport(r)
}
