// Package tlsreport counts how the TLS of sessions with other hosts comes out,
// and tells the receiving domains once a day, if they ask for it (RFC 8460).
package tlsreport

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/kv"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/smtp"
	"posthouse/internal/tlspolicy"
)

// Bounds of what is counted.
const (
	flushEvery  = 10 * time.Second // a crash loses as much
	maxPending  = 10_000           // rows between two flushes
	maxFailures = 60               // kinds of failure under one policy in a day
	maxTerms    = 8 << 10          // bytes of a policy that are repeated in a report
	maxReason   = 200
	batchRows   = 200 // in one transaction
)

// Rows: 'c' day domain hash -> count as JSON; 's' day domain -> sending as JSON.
const (
	rowCount   = 'c'
	rowSending = 's'
)

// dayForm sorts by time.
const dayForm = "20060102"

// count is one day's sessions with a domain under one policy.
type count struct {
	Terms    tlsrpt.Terms     `json:"terms"`
	Success  int64            `json:"success"`
	Failure  int64            `json:"failure"`
	Failures []tlsrpt.Failure `json:"failures,omitempty"`
}

// rowID names a count.
type rowID struct{ day, domain, terms string }

func (id rowID) key() kv.Key {
	return dayKey(rowCount, id.day, id.domain).String(id.terms)
}

func dayKey(row byte, day, domain string) kv.Key {
	return kv.NewKey(kv.TLSResults).Byte(row).String(day).String(domain)
}

// Counter counts sessions in memory and adds them to the store in groups. Safe
// for concurrent use.
type Counter struct {
	db    kv.Store
	clock clock.Clock
	log   *slog.Logger

	mu      sync.Mutex
	pending map[rowID]*count
	full    bool // something was not counted
}

// NewCounter makes a counter. Run must run for it to keep anything.
func NewCounter(db kv.Store, c clock.Clock, log *slog.Logger) *Counter {
	return &Counter{db: db, clock: c, log: log, pending: make(map[rowID]*count)}
}

// Add counts one session. It does not block. What the operator or the sender
// asked for is counted for nobody.
func (c *Counter) Add(r *tlspolicy.Result) {
	p := r.Policy
	if p.Uncounted || p.Source == tlspolicy.SourceConfigured || p.Source == tlspolicy.SourceLogin || !reportable(p.Domain) {
		return
	}
	terms := termsOf(p)
	id := rowID{c.clock.Now().UTC().Format(dayForm), p.Domain, hash(&terms)}
	c.mu.Lock()
	defer c.mu.Unlock()
	row := c.pending[id]
	if row == nil {
		if len(c.pending) >= maxPending {
			c.full = true
			return
		}
		row = &count{Terms: terms}
		c.pending[id] = row
	}
	if r.Type == tlspolicy.Success {
		row.Success++
		return
	}
	row.Failure++
	row.fail(failureOf(r))
}

// reportable reports whether a domain could ask for reports.
func reportable(domain string) bool {
	return strings.Contains(domain, ".") && !strings.HasPrefix(domain, "[") && smtp.ValidDomain(domain)
}

// fail adds to the failures of one kind.
func (c *count) fail(f tlsrpt.Failure) {
	for i := range c.Failures {
		same := c.Failures[i]
		same.Count = f.Count
		if same == f {
			c.Failures[i].Count += f.Count
			return
		}
	}
	if len(c.Failures) < maxFailures {
		c.Failures = append(c.Failures, f)
	}
}

func (c *count) add(other *count) {
	c.Success += other.Success
	c.Failure += other.Failure
	for _, f := range other.Failures {
		c.fail(f)
	}
}

// termsOf is a policy in the words of RFC 8460 section 4.4.
func termsOf(p *tlspolicy.Policy) tlsrpt.Terms {
	switch {
	case p.Source == tlspolicy.SourceDANE:
		t := tlsrpt.Terms{Type: tlsrpt.TLSA, Domain: p.Base}
		for _, r := range p.TLSA {
			t.String = append(t.String, tlsaText(r))
		}
		slices.Sort(t.String)
		t.String = cut(t.String)
		return t
	case p.STS != nil && p.STS.Mode != mtasts.None:
		return tlsrpt.Terms{Type: tlsrpt.STS, Domain: p.Domain, String: cut(p.STS.Text()), MXHost: cut(p.STS.MX)}
	case p.Problem != nil:
		return tlsrpt.Terms{Type: tlsrpt.STS, Domain: p.Domain}
	}
	return tlsrpt.Terms{Type: tlsrpt.NoPolicy, Domain: p.Domain}
}

func tlsaText(r dns.TLSA) string {
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, hex.EncodeToString(r.Data))
}

// cut keeps a list within maxTerms.
func cut(list []string) []string {
	n := 0
	for i, s := range list {
		if n += len(s); n > maxTerms {
			return slices.Clone(list[:i])
		}
	}
	return list
}

func hash(t *tlsrpt.Terms) string {
	b, err := json.Marshal(t)
	if err != nil {
		return t.Type // of plain texts: cannot happen
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func failureOf(r *tlspolicy.Result) tlsrpt.Failure {
	f := tlsrpt.Failure{Type: string(r.Type), ReceivingHost: r.Policy.Host, Count: 1, Reason: plain(r.Reason)}
	if r.Local.IsValid() && !r.Local.IsLoopback() && !r.Local.IsPrivate() {
		f.SendingIP = r.Local.String()
	}
	if r.Remote.IsValid() {
		f.ReceivingIP = r.Remote.String()
	}
	return f
}

// plain is a reason, which may hold a stranger's words, fit to be repeated.
func plain(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f || strings.ContainsRune("<>&", c) {
			return '?'
		}
		return c
	}, s[:min(len(s), maxReason)])
	return s
}

// Run keeps what is counted, until ctx ends; then it keeps the rest.
func (c *Counter) Run(ctx context.Context) {
	for ended := false; !ended; {
		t := c.clock.NewTimer(flushEvery)
		select {
		case <-t.C():
		case <-ctx.Done():
			t.Stop()
			ended = true
		}
		if err := c.Flush(context.WithoutCancel(ctx)); err != nil {
			c.log.Error("results of TLS are not kept", "err", err)
		}
	}
}

// Flush adds to the store what was counted since the last time.
func (c *Counter) Flush(ctx context.Context) error {
	c.mu.Lock()
	pending, full := c.pending, c.full
	c.pending, c.full = make(map[rowID]*count), false
	c.mu.Unlock()
	if full {
		c.log.Warn("too many domains at once: some results of TLS are not counted")
	}
	ids := make([]rowID, 0, len(pending))
	for id := range pending {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b rowID) int {
		return cmp.Or(strings.Compare(a.day, b.day), strings.Compare(a.domain, b.domain), strings.Compare(a.terms, b.terms))
	})
	for some := range slices.Chunk(ids, batchRows) {
		err := c.db.Update(ctx, kv.Partitions{kv.TLSResults}, func(tx kv.Tx) error {
			for _, id := range some {
				if err := addTx(tx, id, pending[id]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func addTx(tx kv.Tx, id rowID, more *count) error {
	row := count{Terms: more.Terms}
	value, err := tx.Get(id.key())
	switch {
	case errors.Is(err, kv.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(value, &row); err != nil {
			return fmt.Errorf("results of TLS with %s: %w", id.domain, err)
		}
	}
	row.add(more)
	if value, err = json.Marshal(&row); err != nil {
		return err
	}
	return tx.Set(id.key(), value)
}
