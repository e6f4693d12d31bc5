package imapd

import (
	"posthouse/internal/imap"
	"posthouse/internal/message"
)

// newFetcher decides what it takes to answer a FETCH.
func newFetcher(s *session, req *imap.Fetch, uid bool) *fetcher {
	f := &fetcher{s: s, items: eachOnce(req.Items), need: message.KeptTraits}
	have := func(kind imap.FetchKind) bool {
		for i := range f.items {
			if f.items[i].Kind == kind {
				return true
			}
		}
		return false
	}
	if uid && !have(imap.FetchUID) { // RFC 9051 section 6.4.9
		f.items = append([]imap.FetchItem{{Kind: imap.FetchUID}}, f.items...)
	}
	if req.HasChangedSince { // RFC 7162 section 3.1.4.1
		f.since = req.ChangedSince
		if !have(imap.FetchModSeq) {
			f.items = append(f.items, imap.FetchItem{Kind: imap.FetchModSeq})
		}
	}
	if have(imap.FetchModSeq) {
		s.enableCondstore()
	}
	for i := range f.items {
		it := &f.items[i]
		f.seen = f.seen || it.SetsSeen() && !s.sel.readOnly
		switch it.Kind {
		case imap.FetchEnvelope:
			f.summary, f.need = true, min(f.need, message.KeptEnvelope)
		case imap.FetchBodyStructure, imap.FetchBodyOld:
			f.summary, f.need = true, message.KeptWhole
		case imap.FetchRFC822:
			f.body = true
		case imap.FetchRFC822Header, imap.FetchRFC822Text:
			f.body, f.summary = true, true
		case imap.FetchBody, imap.FetchBinary, imap.FetchBinarySize:
			f.body = true
			if len(it.Section.Part) > 0 {
				f.need = message.KeptWhole
			}
			f.summary = f.summary || len(it.Section.Part) > 0 || it.Section.Kind != imap.SectionAll || it.Kind != imap.FetchBody
		}
	}
	return f
}

// eachOnce leaves out items that were asked for before: one answer is enough. Where
// one of them sets \Seen, the one that stays does.
func eachOnce(items []imap.FetchItem) []imap.FetchItem {
	if len(items) < 2 {
		return items
	}
	type question struct {
		name  string // which does not tell the count
		count uint64
	}
	seen := make(map[question]int, len(items))
	out := items[:0]
	for _, it := range items {
		q := question{string(it.AppendName([]byte{byte(it.Kind)})), it.Count}
		if i, ok := seen[q]; ok {
			out[i].Peek = out[i].Peek && it.Peek
			continue
		}
		seen[q] = len(out)
		out = append(out, it)
	}
	return out
}
