package imap

import "strconv"

// Range is an inclusive range of sequence numbers or UIDs. In a parsed set 0
// stands for "*" and First may be above Last (RFC 9051 section 9, seq-range).
type Range struct{ First, Last uint32 }

// NumSet is a sequence-set as the client wrote it.
type NumSet struct {
	Ranges []Range
	Saved  bool // "$": the saved search result (RFC 5182)
}

// NumSet reads a sequence-set or "$".
func (p *Parser) NumSet() NumSet {
	if p.Take('$') {
		return NumSet{Saved: true}
	}
	var set NumSet
	for p.err == nil {
		r := Range{First: p.setNumber()}
		r.Last = r.First
		if p.Take(':') {
			r.Last = p.setNumber()
		}
		set.Ranges = append(set.Ranges, r)
		if !p.Take(',') {
			break
		}
	}
	if p.err != nil {
		return NumSet{}
	}
	return set
}

func (p *Parser) setNumber() uint32 {
	if p.Take('*') {
		return 0
	}
	return p.NZNumber()
}

// Resolve gives r as First <= Last with "*" as max. With max 0 (an empty
// mailbox) ok is false for a range that holds "*".
func (r Range) Resolve(max uint32) (Range, bool) {
	if r.First == 0 || r.Last == 0 {
		if max == 0 {
			return r, false
		}
		if r.First == 0 {
			r.First = max
		}
		if r.Last == 0 {
			r.Last = max
		}
	}
	if r.First > r.Last {
		r.First, r.Last = r.Last, r.First
	}
	return r, true
}

// AppendRanges writes ranges as a sequence-set, "1:3,7".
func AppendRanges[R ~struct{ First, Last uint32 }](b []byte, rs []R) []byte {
	for i, x := range rs {
		r := Range(x)
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.First), 10)
		if r.Last != r.First {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Last), 10)
		}
	}
	return b
}
