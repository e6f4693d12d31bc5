package tlsreport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/kv"
	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/smtp"
)

// Options of a Sender. All are needed.
type Options struct {
	DB       kv.Store
	Resolver dns.Resolver
	Client   *http.Client // for reports by HTTPS, see package fetch
	Clock    clock.Clock
	Log      *slog.Logger
	Hostname string // of this house, for the reports' IDs
	Org      string // the name of the organisation
	// Contact is the author of reports, for questions. Its domain is the submitter
	// (RFC 8460 section 5.3).
	Contact smtp.Address
	// Submit takes a report as a message to one recipient, for good.
	Submit func(ctx context.Context, to smtp.Address, message io.WriterTo) error
}

// The schedule.
const (
	lookEvery  = 5 * time.Minute
	spread     = 4 * time.Hour   // reports leave within so much after the day (RFC 8460 section 4.1)
	settle     = 2 * time.Minute // the last of the day are kept by then
	firstRetry = 10 * time.Minute
	giveUp     = 24 * time.Hour // RFC 8460 section 5.5
	maxAnswer  = 4 << 10
)

// Sender sends the reports of past days.
type Sender struct{ opt Options }

// NewSender makes a sender. Run must run.
func NewSender(opt Options) *Sender { return &Sender{opt: opt} }

// sending is a report that could not be sent everywhere yet.
type sending struct {
	Tries int       `json:"tries"`
	Next  time.Time `json:"next"`
	Done  []string  `json:"done"` // places that have it
}

// Run sends reports until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for {
		if err := s.Send(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Error("reports on TLS", "err", err)
		}
		t := s.opt.Clock.NewTimer(lookEvery)
		select {
		case <-t.C():
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// task is one day of one domain.
type task struct{ day, domain string }

// Send sends what is due.
func (s *Sender) Send(ctx context.Context) error {
	tasks, err := s.tasks(ctx)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.one(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// tasks are the domains of past days.
func (s *Sender) tasks(ctx context.Context) ([]task, error) {
	today := s.opt.Clock.Now().UTC().Format(dayForm)
	var list []task
	from := kv.NewKey(kv.TLSResults).Byte(rowCount)
	err := s.opt.DB.View(ctx, func(r kv.Reader) error {
		list = list[:0]
		return r.Scan(from, from.String(today), func(key, _ []byte) bool {
			day, rest, ok := kv.CutString(key[len(kv.TLSResults)+1:])
			domain, _, ok2 := kv.CutString(rest)
			if t := (task{day, domain}); ok && ok2 && (len(list) == 0 || list[len(list)-1] != t) {
				list = append(list, t)
			}
			return true
		})
	})
	return list, err
}

// due is when a report may leave first: somewhen in the hours after its day, so
// that not all the world's arrive at midnight.
func (t task) due() time.Time {
	day, err := time.Parse(dayForm, t.day)
	if err != nil {
		return time.Time{}
	}
	h := fnv.New32a()
	h.Write([]byte(t.domain + t.day))
	return day.Add(24*time.Hour + settle + time.Duration(h.Sum32())*time.Second%spread)
}

// one sends one report, if it is time and anybody wants it. Its errors are of the
// store.
func (s *Sender) one(ctx context.Context, t task) error {
	now := s.opt.Clock.Now()
	state, err := s.state(ctx, t)
	if err != nil || now.Before(t.due()) || now.Before(state.Next) {
		return err
	}
	texts, _, err := s.opt.Resolver.LookupTXT(ctx, tlsrpt.RecordName(t.domain))
	if errors.Is(err, dns.ErrTemporary) {
		return s.later(ctx, t, state)
	}
	record, err := tlsrpt.ParseRecord(texts)
	if err != nil {
		return s.forget(ctx, t) // nobody asks for it
	}
	report, err := s.report(ctx, t)
	if err != nil {
		return err
	}
	if s.everywhere(ctx, t, record, report, state) {
		s.opt.Log.Info("report on TLS sent", "domain", t.domain, "day", t.day)
		return s.forget(ctx, t)
	}
	return s.later(ctx, t, state)
}

// everywhere sends a report to all places that do not have it. It reports whether
// all have.
func (s *Sender) everywhere(ctx context.Context, t task, record *tlsrpt.Record, report *tlsrpt.Report, state *sending) bool {
	all := true
	send := func(place string, do func() error) {
		if slices.Contains(state.Done, place) {
			return
		}
		if err := do(); err != nil {
			s.opt.Log.Info("report on TLS not sent", "domain", t.domain, "to", place, "err", err)
			all = false
			return
		}
		state.Done = append(state.Done, place)
	}
	for _, to := range record.Mail {
		send("mailto:"+to.String(), func() error {
			return s.opt.Submit(ctx, to, &tlsrpt.Message{
				From: s.opt.Contact, To: to, Submitter: s.opt.Contact.Domain, Domain: t.domain, Date: s.opt.Clock.Now(), Report: report,
			})
		})
	}
	for _, url := range record.HTTPS {
		send(url, func() error { return s.post(ctx, url, report) })
	}
	return all
}

// post sends a report by HTTPS (RFC 8460 section 5.4).
func (s *Sender) post(ctx context.Context, url string, report *tlsrpt.Report) error {
	packed, err := report.Gzip()
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(packed))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/tlsrpt+gzip")
	r.Header.Set("User-Agent", "Posthouse")
	resp, err := s.opt.Client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return nil
}

// report makes the report of a day. Its ID is always the same, so that one that
// is sent twice is known for it.
func (s *Sender) report(ctx context.Context, t task) (*tlsrpt.Report, error) {
	day, err := time.Parse(dayForm, t.day)
	if err != nil {
		return nil, err
	}
	r := &tlsrpt.Report{
		Organization: s.opt.Org, Contact: s.opt.Contact.String(), ID: t.day + "." + t.domain + "@" + s.opt.Hostname,
		Range: tlsrpt.DateRange{Start: tlsrpt.Time{Time: day}, End: tlsrpt.Time{Time: day.Add(24*time.Hour - time.Second)}},
	}
	prefix := dayKey(rowCount, t.day, t.domain)
	err = s.opt.DB.View(ctx, func(tx kv.Reader) error {
		r.Policies = nil
		return tx.Scan(prefix, prefix.End(), func(_, value []byte) bool {
			var c count
			if json.Unmarshal(value, &c) == nil {
				r.Policies = append(r.Policies, tlsrpt.Policy{Policy: c.Terms, Summary: tlsrpt.Summary{Success: c.Success, Failure: c.Failure}, Failures: c.Failures})
			}
			return true
		})
	})
	return r, err
}

func (s *Sender) state(ctx context.Context, t task) (*sending, error) {
	state := new(sending)
	err := s.opt.DB.View(ctx, func(r kv.Reader) error {
		value, err := r.Get(dayKey(rowSending, t.day, t.domain))
		if err != nil {
			return err
		}
		return json.Unmarshal(value, state)
	})
	if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	return state, err
}

// later tries again after a while, twice as long every time, for a day.
func (s *Sender) later(ctx context.Context, t task, state *sending) error {
	now := s.opt.Clock.Now()
	if now.Sub(t.due()) > giveUp {
		s.opt.Log.Info("report on TLS given up", "domain", t.domain, "day", t.day)
		return s.forget(ctx, t)
	}
	state.Next = now.Add(firstRetry << min(state.Tries, 6))
	state.Tries++
	value, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return s.opt.DB.Update(ctx, kv.Partitions{kv.TLSResults}, func(tx kv.Tx) error {
		return tx.Set(dayKey(rowSending, t.day, t.domain), value)
	})
}

// forget removes all about a report.
func (s *Sender) forget(ctx context.Context, t task) error {
	prefix := dayKey(rowCount, t.day, t.domain)
	return s.opt.DB.Update(ctx, kv.Partitions{kv.TLSResults}, func(tx kv.Tx) error {
		if err := tx.DeleteRange(prefix, prefix.End()); err != nil {
			return err
		}
		return tx.Delete(dayKey(rowSending, t.day, t.domain))
	})
}
