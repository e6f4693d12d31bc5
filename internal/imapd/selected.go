package imapd

import (
	"slices"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// selected is the mailbox that a session has open.
type selected struct {
	mbox     *mailbox.Mailbox
	readOnly bool
	// view is what the client knows: sequence numbers are positions in it. It
	// may lag behind the mailbox while EXPUNGE must not be sent.
	view     *mailbox.Snapshot
	changed  <-chan struct{}
	stop     func()
	keywords []string // of the mailbox, as the client was told
	flags    flagTexts

	recent     mailbox.UIDSet // \Recent in this session; some may be gone, some not in the view yet
	recentTold int            // the number of them that the client was told last
}

func (s *session) unselect() {
	if s.sel == nil {
		return
	}
	s.sel.stop()
	s.sel.mbox.Close()
	s.sel = nil
	s.parts = nil
	s.saved = nil // RFC 5182 section 2.1
	if s.state == inMailbox {
		s.state = authenticated
	}
}

// latest is the mailbox's newest state.
func (sel *selected) latest() *mailbox.Snapshot { return sel.mbox.Snapshot() }

// span is positions [from, to) of a view.
type span struct{ from, to int }

// count is the number of positions in spans.
func count(spans []span) int {
	n := 0
	for _, sp := range spans {
		n += sp.to - sp.from
	}
	return n
}

// resolve turns a set into positions of the view, in order and each once.
// A sequence number that does not exist is a mistake of the client's; a UID is
// not (RFC 9051 sections 6.4.9 and 9, seq-number), and neither is a number that is
// only looked for: SEARCH finds nothing then, as everywhere else.
func (s *session) resolve(set imap.NumSet, uid, search bool) ([]span, error) {
	view := s.sel.view
	n := view.Len()
	var spans []span
	if set.Saved {
		for _, r := range s.saved {
			spans = appendUIDs(spans, view, r)
		}
		return normal(spans), nil
	}
	top := uint32(n)
	if uid && n > 0 {
		top = view.At(n - 1).UID
	}
	for _, r := range set.Ranges {
		r, ok := r.Resolve(top)
		switch {
		case !ok: // "*" in an empty mailbox: nothing
		case uid:
			spans = appendUIDs(spans, view, r)
		case r.First > uint32(n) && search:
		case r.First > uint32(n):
			return nil, imap.SyntaxError("There is no message with this number")
		default:
			spans = append(spans, span{int(r.First) - 1, int(min(r.Last, uint32(n)))})
		}
	}
	return normal(spans), nil
}

func appendUIDs(spans []span, view *mailbox.Snapshot, r imap.Range) []span {
	from, _ := view.Index(r.First)
	to, exact := view.Index(r.Last)
	if exact {
		to++
	}
	if from < to {
		spans = append(spans, span{from, to})
	}
	return spans
}

// normal sorts spans and joins those that touch.
func normal(spans []span) []span {
	sorted := true
	for i := 1; i < len(spans) && sorted; i++ {
		sorted = spans[i-1].to < spans[i].from
	}
	if sorted {
		return spans
	}
	sortSpans(spans)
	out := spans[:1]
	for _, sp := range spans[1:] {
		if last := &out[len(out)-1]; sp.from <= last.to {
			last.to = max(last.to, sp.to)
		} else {
			out = append(out, sp)
		}
	}
	return out
}

// uids gives the UIDs at the positions.
func (sel *selected) uids(spans []span) mailbox.UIDSet {
	var set mailbox.UIDSet
	for _, sp := range spans {
		for _, e := range sel.view.Range(sp.from, sp.to) {
			set = addUID(set, e.UID)
		}
	}
	return set
}

// addUID adds a UID above all that set has, joining neighbours.
func addUID(set mailbox.UIDSet, uid uint32) mailbox.UIDSet {
	if n := len(set); n > 0 && set[n-1].Last+1 == uid {
		set[n-1].Last = uid
		return set
	}
	return append(set, mailbox.UIDRange{First: uid, Last: uid})
}

// own is a change that the session made itself: its messages have been
// reported, or the client does not want to hear of them.
type own struct {
	modseq uint64
	// expected, when set, tells what the client thinks a message's flags are
	// after its own silent change; other flags are reported after all.
	expected func(old *mailbox.Entry) (mailbox.Flags, uint64)
}

// update tells the client what changed since its view: EXPUNGE, EXISTS, FETCH.
// When messages were expunged and that may not be said now (RFC 9051 section
// 7.5.1), nothing is said and the view stays.
func (s *session) update(expunge bool, mine *own) {
	sel := s.sel
	now := sel.latest()
	if now == sel.view {
		if sel.mbox.Name() == "" {
			s.bye("mailbox deleted", "The selected mailbox was deleted")
		}
		return
	}
	if sel.mbox.Name() == "" {
		s.bye("mailbox deleted", "The selected mailbox was deleted")
		return
	}
	gone, changed, firstNew := now.Diff(sel.view)
	if len(gone) > 0 && !expunge {
		return
	}
	b := s.buf()
	for i, pos := range gone {
		b = append(b, "* "...)
		b = imap.AppendNumber(b, uint32(pos+1-i))
		b = append(b, " EXPUNGE\r\n"...)
		if len(b) >= highWater {
			s.out = b
			s.flush()
			b = s.buf()
		}
	}
	if firstNew < now.Len() {
		s.learnRecent()
		b = append(b, "* "...)
		b = imap.AppendNumber(b, uint32(now.Len()))
		b = append(b, " EXISTS\r\n"...)
	}
	s.out = b
	old := sel.view
	sel.view = now
	s.sendRecent()
	s.announceKeywords(now)
	same := grown(old.Keywords(), now.Keywords()) // else a bit may be another keyword
	for _, pos := range changed {
		e := now.At(pos)
		if mine == nil || e.ModSeq != mine.modseq || mine.expected != nil && !(same && mine.foresaw(old, &e)) {
			s.sendFlags(now, pos, &e, s.rev2)
		}
	}
}

// foresaw reports whether a message that the session changed silently has the
// flags that its client must think.
func (mine *own) foresaw(old *mailbox.Snapshot, e *mailbox.Entry) bool {
	i, ok := old.Index(e.UID)
	if !ok {
		return true
	}
	was := old.At(i)
	flags, keywords := mine.expected(&was)
	return flags == e.Flags && keywords == e.Keywords
}

// grown reports whether a dictionary has all that it had, in its place.
func grown(was, is []string) bool {
	return len(is) >= len(was) && (sameNames(was, is) || slices.Equal(was, is[:len(was)]))
}

// announceKeywords sends FLAGS and PERMANENTFLAGS when the mailbox has keywords
// that the client does not know.
func (s *session) announceKeywords(now *mailbox.Snapshot) {
	if names := now.Keywords(); !sameNames(names, s.sel.keywords) {
		s.sel.keywords = names
		s.sendFlagLists(now)
	}
}

// sendFlagLists writes FLAGS and PERMANENTFLAGS (RFC 9051 sections 7.1, 7.3.5).
func (s *session) sendFlagLists(view *mailbox.Snapshot) {
	b := append(s.buf(), `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft`...)
	for _, k := range view.Keywords() {
		b = append(b, ' ')
		b = append(b, k...)
	}
	b = append(b, ")\r\n* OK [PERMANENTFLAGS ("...)
	if !s.sel.readOnly {
		b = append(b, `\Answered \Flagged \Deleted \Seen \Draft`...)
		for _, k := range view.Keywords() {
			b = append(b, ' ')
			b = append(b, k...)
		}
		if !view.KeywordsFull() {
			b = append(b, ` \*`...)
		}
	}
	s.out = append(b, ")] Flags permitted\r\n"...)
}

// sendFlags writes a FETCH response with the flags of a message of now, its UID when
// asked, its modseq for those who enabled CONDSTORE (RFC 7162 section 3.1).
func (s *session) sendFlags(now *mailbox.Snapshot, pos int, e *mailbox.Entry, uid bool) {
	b := append(s.buf(), "* "...)
	b = imap.AppendNumber(b, uint32(pos+1))
	b = append(b, " FETCH ("...)
	if uid {
		b = append(b, "UID "...)
		b = imap.AppendNumber(b, e.UID)
		b = append(b, ' ')
	}
	b = append(b, "FLAGS "...)
	b = append(b, s.sel.flagList(now, e)...)
	if s.condsto {
		b = appendModSeq(append(b, ' '), e.ModSeq)
	}
	s.out = append(b, ")\r\n"...)
	s.pressure()
}

// enableCondstore turns mod-sequences on; a client with a mailbox open is told
// where it stands (RFC 7162 section 3.1.2.1).
func (s *session) enableCondstore() {
	if s.condsto {
		return
	}
	s.condsto = true
	if s.sel != nil {
		s.sendHighestModSeq()
	}
}

func (s *session) sendHighestModSeq() {
	b := append(s.buf(), "* OK [HIGHESTMODSEQ "...)
	b = appendUint(b, max(s.sel.view.Status().HighestModSeq, 1))
	s.out = append(b, "] Highest\r\n"...)
}
