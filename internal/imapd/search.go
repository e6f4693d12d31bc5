package imapd

import (
	"context"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdSearch and cmdUIDSearch: RFC 9051 section 6.4.4.
func (s *session) cmdSearch(p *imap.Parser) (string, error)    { return s.search(p, false) }
func (s *session) cmdUIDSearch(p *imap.Parser) (string, error) { return s.search(p, true) }

func (s *session) search(p *imap.Parser, uid bool) (string, error) {
	req := p.Search()
	if err := p.End(); err != nil {
		return "", err
	}
	if req.Save {
		s.saved = emptyIfFails(s, &req)
	}
	if req.UsesModSeq {
		s.enableCondstore()
	}
	s.update(false, nil)
	if s.state != inMailbox {
		return "", errAnswered
	}
	c := compiler{s: s, charset: req.Charset}
	tree, err := c.all(req.Keys)
	if err != nil {
		if req.Save {
			s.saved = nil
		}
		return "", err
	}
	var found []mailbox.Entry
	sel := s.sel
	err = s.patiently("Still searching", func(ctx context.Context) (err error) {
		found, err = sel.mbox.Search(ctx, sel.latest(), tree)
		return err
	})
	if err != nil {
		if req.Save {
			s.saved = nil // RFC 5182 section 2.1
		}
		return "", err
	}
	hits := s.hits(found, uid)
	if req.Save {
		s.saved = savedResult(&req, hits)
	}
	switch {
	case req.Extended || s.rev2:
		s.sendESearch(&req, hits, uid)
	default:
		s.sendSearch(&req, hits, uid)
	}
	return "", nil
}

// emptyIfFails keeps the old result while the search runs: it may refer to "$".
func emptyIfFails(s *session, req *imap.Search) []imap.Range {
	if req.UsesSaved {
		return s.saved
	}
	return nil
}

// hit is a message found: its number in the view (0 when the client does not
// know it yet), UID and modseq.
type hit struct {
	seq, uid uint32
	modseq   uint64
}

// hits finds the messages of a result in the view. The result is of the newest
// snapshot, which may hold messages that the view lacks; they are left out.
func (s *session) hits(found []mailbox.Entry, uid bool) []hit {
	hits := make([]hit, 0, len(found))
	view := s.sel.view
	same := view == s.sel.latest()
	pos := 0
	for i := range found {
		e := &found[i]
		// Most often results lie close together: look near the last one first.
		if pos >= view.Len() || view.At(pos).UID != e.UID {
			var ok bool
			if pos, ok = view.Index(e.UID); !ok {
				if !same {
					continue
				}
			}
		}
		hits = append(hits, hit{uint32(pos + 1), e.UID, e.ModSeq})
		pos++
	}
	return hits
}

func (h *hit) number(uid bool) uint32 {
	if uid {
		return h.uid
	}
	return h.seq
}

// sendSearch writes the SEARCH response (RFC 3501 section 7.2.5), with the
// highest modseq found when MODSEQ was asked (RFC 7162 section 3.1.5).
func (s *session) sendSearch(req *imap.Search, hits []hit, uid bool) {
	b := append(s.buf(), "* SEARCH"...)
	var top uint64
	for i := range hits {
		b = imap.AppendNumber(append(b, ' '), hits[i].number(uid))
		top = max(top, hits[i].modseq)
		if len(b) >= highWater {
			s.out = b
			s.flush()
			b = s.buf()
		}
	}
	if req.UsesModSeq && len(hits) > 0 {
		b = appendModSeqOf(b, top)
	}
	s.out = append(b, "\r\n"...)
}

func appendModSeqOf(b []byte, modseq uint64) []byte {
	b = append(b, " (MODSEQ "...)
	return append(appendUint(b, modseq), ')')
}

// sendESearch writes the ESEARCH response (RFC 9051 section 7.3.4, RFC 4731).
func (s *session) sendESearch(req *imap.Search, hits []hit, uid bool) {
	wantAll := req.All || !req.Extended
	if !wantAll && !req.Min && !req.Max && !req.Count {
		return // only SAVE (RFC 5182 section 2.1)
	}
	b := append(s.buf(), "* ESEARCH (TAG "...)
	b = append(imap.AppendString(b, s.tag, false), ')')
	if uid {
		b = append(b, " UID"...)
	}
	if n := len(hits); n > 0 {
		if req.Min {
			b = imap.AppendNumber(append(b, " MIN "...), hits[0].number(uid))
		}
		if req.Max {
			b = imap.AppendNumber(append(b, " MAX "...), hits[n-1].number(uid))
		}
		if wantAll {
			b = imap.AppendRanges(append(b, " ALL "...), ranges(hits, uid))
		}
	}
	if req.Count {
		b = appendUint(append(b, " COUNT "...), uint64(len(hits)))
	}
	if req.UsesModSeq && len(hits) > 0 {
		b = append(b, " MODSEQ "...)
		b = appendUint(b, resultModSeq(req, wantAll, hits))
	}
	s.out = append(b, "\r\n"...)
}

// resultModSeq is the highest modseq of what is returned (RFC 4731 section 3.2).
func resultModSeq(req *imap.Search, wantAll bool, hits []hit) uint64 {
	first, last := hits[0].modseq, hits[len(hits)-1].modseq
	if !wantAll && !req.Count {
		switch {
		case req.Min && req.Max:
			return max(first, last)
		case req.Min:
			return first
		case req.Max:
			return last
		}
	}
	var top uint64
	for i := range hits {
		top = max(top, hits[i].modseq)
	}
	return top
}

func ranges(hits []hit, uid bool) []imap.Range {
	var rs []imap.Range
	for i := range hits {
		n := hits[i].number(uid)
		if k := len(rs); k > 0 && rs[k-1].Last+1 == n {
			rs[k-1].Last = n
		} else {
			rs = append(rs, imap.Range{First: n, Last: n})
		}
	}
	return rs
}

// savedResult is what SAVE keeps: all, or the ends when only those were asked
// for (RFC 5182 section 2.1).
func savedResult(req *imap.Search, hits []hit) []imap.Range {
	if !req.All && !req.Count && (req.Min || req.Max) && len(hits) > 0 {
		var ends []hit
		if req.Min {
			ends = append(ends, hits[0])
		}
		if req.Max {
			ends = append(ends, hits[len(hits)-1])
		}
		hits = ends
	}
	return ranges(hits, true)
}
