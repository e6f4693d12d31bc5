package imapd

import (
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdStore and cmdUIDStore: RFC 9051 section 6.4.6, RFC 7162 section 3.1.3.
func (s *session) cmdStore(p *imap.Parser) (string, error)    { return s.store(p, false) }
func (s *session) cmdUIDStore(p *imap.Parser) (string, error) { return s.store(p, true) }

func (s *session) store(p *imap.Parser, uid bool) (string, error) {
	req := p.Store()
	if err := p.End(); err != nil {
		return "", err
	}
	if s.sel.readOnly {
		return "", errReadOnly
	}
	if req.HasUnchangedSince {
		s.enableCondstore()
	}
	// What others changed is told after the change, not before: a client could not
	// know whether flags that come during a silent STORE have its own in them.
	spans, err := s.resolve(req.Set, uid, false)
	if err != nil || len(spans) == 0 {
		return "", err
	}
	res, err := s.sel.mbox.StoreFlags(s.ctx, mailbox.StoreRequest{
		UIDs: s.sel.uids(spans), Op: storeOps[req.Op],
		Flags: flagBits(req.Flags.System), Keywords: req.Flags.Keywords,
		UnchangedSince: req.UnchangedSince, HasUnchanged: req.HasUnchangedSince,
	})
	if err != nil {
		return "", err
	}
	s.reportStore(&req, spans, res, uid)
	return s.modified(spans, res, uid), nil
}

// reportStore sends the flags that STORE leads to, then what others changed.
func (s *session) reportStore(req *imap.Store, spans []span, res mailbox.StoreResult, uid bool) {
	now := s.sel.latest()
	s.announceKeywords(now)
	failed := failedUIDs(res.Failed)
	for _, sp := range spans {
		for pos, old := range s.sel.view.Range(sp.from, sp.to) {
			e, ok := entryNow(now, pos, old.UID)
			if !ok || failed.has(old.UID) {
				continue
			}
			switch {
			case !req.Silent:
				s.sendFlags(now, pos, &e, uid || s.rev2)
			case s.condsto && e.ModSeq == res.ModSeq && res.ModSeq != 0:
				// Also a silent change tells its mod-sequence (RFC 7162 section 3.1.3).
				s.sendModSeq(pos, &e, uid || s.rev2)
			}
		}
	}
	if s.sel.view == now {
		return
	}
	mine := &own{modseq: res.ModSeq}
	if req.Silent {
		mine.expected = expectation(req, keywordBits(now.Keywords(), req.Flags.Keywords))
	}
	s.update(uid, mine)
}

// entryNow finds a message of the view in a newer snapshot; most of the time it
// is at the same position.
func entryNow(now *mailbox.Snapshot, pos int, uid uint32) (mailbox.Entry, bool) {
	if pos < now.Len() {
		if e := now.At(pos); e.UID == uid {
			return e, true
		}
	}
	if i, ok := now.Index(uid); ok {
		return now.At(i), true
	}
	return mailbox.Entry{}, false
}

// expectation is what a client must think of a message's flags after a silent
// STORE of its own.
func expectation(req *imap.Store, keywords uint64) func(*mailbox.Entry) (mailbox.Flags, uint64) {
	flags := flagBits(req.Flags.System)
	return func(old *mailbox.Entry) (mailbox.Flags, uint64) {
		switch req.Op {
		case imap.StoreAdd:
			return old.Flags | flags, old.Keywords | keywords
		case imap.StoreRemove:
			return old.Flags &^ flags, old.Keywords &^ keywords
		}
		return flags, keywords
	}
}

// sendModSeq writes a FETCH response with nothing but the mod-sequence.
func (s *session) sendModSeq(pos int, e *mailbox.Entry, uid bool) {
	b := append(s.buf(), "* "...)
	b = imap.AppendNumber(b, uint32(pos+1))
	b = append(b, " FETCH ("...)
	if uid {
		b = append(b, "UID "...)
		b = append(imap.AppendNumber(b, e.UID), ' ')
	}
	s.out = append(appendModSeq(b, e.ModSeq), ")\r\n"...)
	s.pressure()
}

// failedUIDs finds UIDs in a set, asked in ascending order.
type failedUIDs mailbox.UIDSet

func (f *failedUIDs) has(uid uint32) bool {
	for len(*f) > 0 && (*f)[0].Last < uid {
		*f = (*f)[1:]
	}
	return len(*f) > 0 && (*f)[0].First <= uid
}

// modified is the MODIFIED code, which names what was left alone, by sequence
// number for STORE (RFC 7162 section 3.1.3).
func (s *session) modified(spans []span, res mailbox.StoreResult, uid bool) string {
	if len(res.Failed) == 0 {
		return ""
	}
	set := res.Failed
	if !uid {
		set = nil
		for _, r := range res.Failed {
			from, _ := s.sel.view.Index(r.First)
			to, exact := s.sel.view.Index(r.Last)
			if exact {
				to++
			}
			for i := from; i < to; i++ {
				set = addUID(set, uint32(i+1))
			}
		}
	}
	return "[MODIFIED " + string(imap.AppendRanges(nil, set)) + "] Conditional STORE failed"
}
