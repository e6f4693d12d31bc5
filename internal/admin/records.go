package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"posthouse/internal/directory"
	"posthouse/internal/dns"
)

// DomainDNS lists the records that should stand for a domain.
func (h *House) DomainDNS(ctx context.Context, name string) ([]Record, error) {
	d, err := h.Directory.Domain(ctx, name)
	if err != nil {
		return nil, translate(err, name)
	}
	host := h.Hostname + "."
	at := d.Name + "."
	records := []Record{
		{at, "MX", "10 " + host, "mail for the domain comes here", true},
		{at, "TXT", "v=spf1 mx -all", "SPF: only this host sends for the domain", true},
		{"_dmarc." + at, "TXT", "v=DMARC1; p=quarantine; rua=mailto:postmaster@" + d.Name, "DMARC: what others do with forged mail", true},
	}
	for _, k := range d.DKIM {
		value, err := directory.DKIMRecord(k)
		if err != nil {
			return nil, err
		}
		records = append(records, Record{
			k.Selector + "._domainkey." + at, "TXT", value, "DKIM: the domain's " + k.Algorithm + " key", true,
		})
	}
	for _, s := range []struct{ service, port string }{
		{"_submissions._tcp", "465"}, {"_submission._tcp", "587"}, {"_imaps._tcp", "993"}, {"_pop3s._tcp", "995"},
	} {
		records = append(records, Record{
			s.service + "." + at, "SRV", "0 1 " + s.port + " " + host, "mail programs find their settings (RFC 6186)", false,
		})
	}
	return records, nil
}

// CheckDomain looks up what stands.
func (h *House) CheckDomain(ctx context.Context, name string) ([]Check, error) {
	records, err := h.DomainDNS(ctx, name)
	if err != nil {
		return nil, err
	}
	checks := make([]Check, len(records)+1)
	var looking sync.WaitGroup // all at once: a resolver may be slow
	looking.Go(func() { checks[0] = h.checkHost(ctx) })
	for i, r := range records {
		looking.Go(func() { checks[i+1] = h.checkRecord(ctx, r) })
	}
	looking.Wait()
	return checks, nil
}

// checkHost looks at the addresses of the host name and their names.
func (h *House) checkHost(ctx context.Context) Check {
	c := Check{Record: Record{h.Hostname + ".", "A/AAAA", "this host's addresses", "others reach this host", true}}
	addrs, _, err := h.Resolver.LookupIP(ctx, h.Hostname)
	if !c.settle(err) {
		return c
	}
	for _, a := range addrs {
		c.Found = append(c.Found, a.String())
		names, _, err := h.Resolver.LookupPTR(ctx, a)
		if err == nil && slices.ContainsFunc(names, func(n string) bool { return sameName(n, h.Hostname) }) {
			continue
		}
		c.Verdict = Different
		c.Note = fmt.Sprintf("the reverse record (PTR) of %s should name %s", a, h.Hostname)
	}
	return c
}

// settle sets the verdict of a look-up; false when there is nothing to compare.
func (c *Check) settle(err error) bool {
	switch {
	case errors.Is(err, dns.ErrNotFound):
		c.Verdict = Missing
	case err != nil:
		c.Verdict, c.Note = Unknown, err.Error()
	default:
		c.Verdict = Good
	}
	return err == nil
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func (h *House) checkRecord(ctx context.Context, r Record) Check {
	c := Check{Record: r}
	switch r.Type {
	case "MX":
		found, _, err := h.Resolver.LookupMX(ctx, r.Name)
		if !c.settle(err) {
			return c
		}
		ours := false
		for _, mx := range found {
			c.Found = append(c.Found, fmt.Sprintf("%d %s.", mx.Preference, mx.Host))
			ours = ours || sameName(mx.Host, h.Hostname)
		}
		if !ours {
			c.Verdict = Different
		}
	case "TXT":
		found, _, err := h.Resolver.LookupTXT(ctx, r.Name)
		if !c.settle(err) {
			return c
		}
		c.compareTXT(found)
	default:
		c.Verdict, c.Note = Unknown, "not looked up"
	}
	return c
}

// compareTXT compares the one TXT record of the same kind: SPF and DMARC may
// say more than we suggest, a key must be the same.
func (c *Check) compareTXT(found []string) {
	kind, _, _ := strings.Cut(c.Value, ";")
	kind, _, _ = strings.Cut(kind, " ")
	for _, t := range found {
		if strings.HasPrefix(strings.ToLower(t), strings.ToLower(kind)) {
			c.Found = append(c.Found, t)
		}
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	switch {
	case len(c.Found) == 0:
		c.Verdict = Missing
	case len(c.Found) > 1:
		c.Verdict, c.Note = Different, "more than one record of this kind"
	case strings.Contains(c.Name, "._domainkey.") && squeeze(c.Found[0]) != squeeze(c.Value):
		c.Verdict = Different
	case squeeze(c.Found[0]) != squeeze(c.Value):
		c.Note = "says something else than suggested"
	}
}
