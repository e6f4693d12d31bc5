package dns

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of what is used of an answer, whatever a server sends.
const (
	maxRecords  = 100             // records given to the caller
	maxScanned  = 1000            // records looked at
	maxChain    = 16              // CNAMEs followed
	maxPositive = time.Hour       // time to live of an answer
	maxNegative = 5 * time.Minute // time to live of "no such record"
)

// question is what is asked; name is canonical.
type question struct {
	name  string
	qtype uint16
}

// result is an answer as callers get it, or the fact that there is none.
type result struct {
	mx    []MX
	ip    []netip.Addr
	txt   []string
	tlsa  []TLSA
	cname string
	ptr   []string
	ans   Answer
	err   error // wraps ErrNotFound: may be cached as well
	// open: the server has told of an alias, and nothing of what it stands for.
	open bool
}

// decode reads the answer to q from a message. An error means that the message
// is no answer (ErrTemporary); that there is no such record is in the result.
func decode(m *dns.Msg, q question, trustAD bool) (result, error) {
	r := result{ans: Answer{Authenticated: trustAD && m.AuthenticatedData}}
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		r.ans.TTL = negativeTTL(m)
		r.err = fmt.Errorf("%w: %s", ErrNotFound, q.name)
		return r, nil
	default:
		return r, fmt.Errorf("%w: %s: server answers %s", ErrTemporary, q.name, dns.RcodeToString[m.Rcode])
	}
	answer := m.Answer[:min(len(m.Answer), maxScanned)]
	owner, ttl, err := follow(answer, q)
	if err != nil {
		return r, err
	}
	if owner != q.name {
		r.ans.CNAME = owner
	}
	found, bad := 0, 0
	for _, rr := range answer {
		h := rr.Header()
		if h.Rrtype != q.qtype || h.Class != dns.ClassINET || !sameName(h.Name, owner) {
			continue
		}
		if !r.add(rr) {
			bad++
			continue
		}
		ttl = min(ttl, seconds(h.Ttl))
		if found++; found == maxRecords {
			break
		}
	}
	switch {
	case found > 0:
		r.ans.TTL = ttl
		r.tidyMX()
	case bad > 0:
		return r, fmt.Errorf("%w: %s: malformed records", ErrTemporary, q.name)
	default:
		r.open = owner != q.name && !hasSOA(m)
		if r.ans.TTL = negativeTTL(m); r.open {
			r.ans.TTL = ttl
		}
		r.err = fmt.Errorf("%w: %s %s", ErrNotFound, q.name, dns.TypeToString[q.qtype])
	}
	return r, nil
}

// follow walks the CNAMEs that the resolver returned from q to the owner of the
// records, and answers the shortest time to live on the way.
func follow(answer []dns.RR, q question) (owner string, ttl time.Duration, err error) {
	owner, ttl = q.name, maxPositive
	if q.qtype == dns.TypeCNAME {
		return owner, ttl, nil
	}
	next := make(map[string]*dns.CNAME)
	for _, rr := range answer {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET {
			next[strings.ToLower(strings.TrimSuffix(c.Hdr.Name, "."))] = c
		}
	}
	for range maxChain {
		c := next[owner]
		if c == nil {
			return owner, ttl, nil
		}
		ttl = min(ttl, seconds(c.Hdr.Ttl))
		var ok bool
		if owner, ok = hostFromWire(c.Target); !ok {
			return "", 0, fmt.Errorf("%w: %s: alias of a malformed name", ErrTemporary, q.name)
		}
	}
	return "", 0, fmt.Errorf("%w: %s", ErrAliases, q.name)
}

func sameName(wire, canonical string) bool {
	return strings.EqualFold(strings.TrimSuffix(wire, "."), canonical)
}

// add takes one record; false means that it is malformed.
func (r *result) add(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.MX:
		host, ok := hostFromWire(rr.Mx)
		if ok {
			r.mx = append(r.mx, MX{Preference: rr.Preference, Host: host})
		}
		return ok
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A.To4())
		if ok {
			r.ip = append(r.ip, a)
		}
		return ok
	case *dns.AAAA:
		a, ok := netip.AddrFromSlice(rr.AAAA.To16())
		ok = ok && !a.Is4In6()
		if ok {
			r.ip = append(r.ip, a)
		}
		return ok
	case *dns.TXT:
		// The strings of one record are one text (RFC 7208 section 3.3, RFC
		// 6376 section 3.6.2.2).
		var b strings.Builder
		for _, s := range rr.Txt {
			b.WriteString(unescape(s))
		}
		r.txt = append(r.txt, b.String())
		return true
	case *dns.TLSA:
		data, err := hex.DecodeString(rr.Certificate)
		if err == nil {
			r.tlsa = append(r.tlsa, TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data})
		}
		return err == nil
	case *dns.CNAME:
		host, ok := hostFromWire(rr.Target)
		r.cname = host
		return ok
	case *dns.PTR:
		host, ok := hostFromWire(rr.Ptr)
		ok = ok && host != ""
		if ok {
			r.ptr = append(r.ptr, host)
		}
		return ok
	}
	return false
}

// tidyMX sorts by preference and leaves the null MX (RFC 7505 section 3) only
// when it stands alone: beside other exchangers it is a mistake.
func (r *result) tidyMX() {
	if len(r.mx) == 0 {
		return
	}
	slices.SortStableFunc(r.mx, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	null := r.mx[0]
	r.mx = slices.DeleteFunc(r.mx, func(m MX) bool {
		if m.Host == "" {
			null = m
		}
		return m.Host == ""
	})
	if len(r.mx) == 0 {
		r.mx = []MX{null}
	}
}

// negativeTTL is how long "no such record" holds (RFC 2308 section 5): not at
// all without a SOA record.
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns[:min(len(m.Ns), maxScanned)] {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(seconds(min(soa.Hdr.Ttl, soa.Minttl)), maxNegative)
		}
	}
	return 0
}

// hasSOA reports whether a message says that there is no record.
func hasSOA(m *dns.Msg) bool {
	return slices.ContainsFunc(m.Ns[:min(len(m.Ns), maxScanned)], func(rr dns.RR) bool {
		_, ok := rr.(*dns.SOA)
		return ok
	})
}

// seconds reads a time to live; one with the highest bit set is zero (RFC 2181
// section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return min(time.Duration(ttl)*time.Second, maxPositive)
}
