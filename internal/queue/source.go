package queue

import (
	"encoding/binary"
	"slices"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// Source is an address that mail leaves from. The courier knows its name.
type Source struct {
	Name    string
	Domains []smtp.DomainPattern // of senders; none: any
	Streams []envelope.Stream    // none: any
	Weight  int                  // share among the sources that suit equally; 0 is 1
}

// suits tells how well a source is made for a message: -1 not at all.
func (s *Source) suits(domain string, stream envelope.Stream) int {
	fit := 0
	if len(s.Domains) > 0 {
		if !slices.ContainsFunc(s.Domains, func(p smtp.DomainPattern) bool { return p.Matches(domain) }) {
			return -1
		}
		fit += 2
	}
	if len(s.Streams) > 0 {
		if !slices.Contains(s.Streams, stream) {
			return -1
		}
		fit++
	}
	return fit
}

// sourceOf chooses the source of a message, the same every time: the one that is
// made for its sender's domain, else its stream, else any; by weight where there
// is more than one. It is the number of a source from 1; 0 is what the system
// chooses, for mail that no source suits.
func (q *Queue) sourceOf(key id.Packed, from smtp.Address, stream envelope.Stream) uint16 {
	if len(q.opt.Sources) == 0 {
		return 0
	}
	if stream == "" {
		stream = envelope.Person
	}
	domain := smtp.CanonicalDomain(from.Domain)
	best, total := 0, 0
	weight := make([]int, len(q.opt.Sources))
	for i := range q.opt.Sources {
		s := &q.opt.Sources[i]
		fit := s.suits(domain, stream)
		if fit > best {
			best, total = fit, 0
			clear(weight)
		}
		if fit == best {
			weight[i] = max(s.Weight, 1)
			total += weight[i]
		}
	}
	if total == 0 {
		return 0
	}
	// The end of an identifier is random.
	at := int(binary.BigEndian.Uint32(key[id.Size-4:]) % uint32(total))
	for i, w := range weight {
		if at -= w; at < 0 {
			return uint16(i + 1)
		}
	}
	return 0
}

// sourceName is what the courier calls a source; "" is the system's choice.
func (q *Queue) sourceName(n uint16) string {
	if n == 0 || int(n) > len(q.opt.Sources) {
		return ""
	}
	return q.opt.Sources[n-1].Name
}
