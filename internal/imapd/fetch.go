package imapd

import (
	"iter"

	"posthouse/internal/blob"
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// fetchBatch is how many messages are marked \Seen, and read, at a time.
const fetchBatch = 512

// cmdFetch and cmdUIDFetch: RFC 9051 section 6.4.5.
func (s *session) cmdFetch(p *imap.Parser) (string, error)    { return s.fetch(p, false) }
func (s *session) cmdUIDFetch(p *imap.Parser) (string, error) { return s.fetch(p, true) }

// fetcher runs one FETCH.
type fetcher struct {
	s     *session
	items []imap.FetchItem
	since uint64 // CHANGEDSINCE, 0 for none

	summary, body bool         // what it takes to answer the items
	need          message.Kept // of the summary
	seen          bool         // some item sets \Seen
	gone          bool         // a message was expunged meanwhile
	damaged       bool         // a message cannot be read
	unknownCTE    bool         // BINARY of an encoding nobody knows
	message       uint64       // the one that is answered for, as in mailbox.Entry
	first         bool         // nothing stands in the response's parentheses yet

	taken *mailbox.Snapshot // the view when the command began
	now   *mailbox.Snapshot // where entries were last taken from
}

func (s *session) fetch(p *imap.Parser, uid bool) (string, error) {
	req := p.Fetch()
	if err := p.End(); err != nil {
		return "", err
	}
	f := newFetcher(s, &req, uid)
	s.update(false, nil)
	if s.state != inMailbox {
		return "", errAnswered
	}
	spans, err := s.resolve(req.Set, uid, false)
	if err != nil {
		return "", err
	}
	err = f.run(spans)
	s.forgetParts()
	switch {
	case err != nil:
		return "", err
	case f.unknownCTE:
		return "", refuse("[UNKNOWN-CTE] The encoding of a part is not known")
	case f.damaged: // RFC 5530 section 3
		return "", refuse("[CORRUPTION] Some of the messages are damaged")
	case f.gone:
		return "", refuse("[EXPUNGEISSUED] Some of the messages no longer exist")
	}
	return "", nil
}

// item is one message to answer for.
type item struct {
	pos   int
	entry mailbox.Entry
	from  *mailbox.Snapshot // of which entry is
	seen  bool              // this command has set \Seen
}

func (f *fetcher) run(spans []span) error {
	f.taken, f.now = f.s.sel.view, f.s.sel.latest()
	f.s.announceKeywords(f.now) // also where the view may not move
	if !f.summary && !f.body {
		f.runIndex(spans)
		return nil
	}
	batch := make([]item, 0, min(count(spans), fetchBatch))
	for _, sp := range spans {
		for pos, old := range f.taken.Range(sp.from, sp.to) {
			batch = append(batch, item{pos: pos, entry: *old, from: f.taken})
			if len(batch) == fetchBatch {
				if err := f.runBatch(batch); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
		if f.s.err != nil {
			return errAnswered
		}
	}
	return f.runBatch(batch)
}

// runIndex answers from the index alone; it is made to be fast.
func (f *fetcher) runIndex(spans []span) {
	s := f.s
	view, now := f.taken, f.now
	b := s.buf()
	for _, sp := range spans {
		for pos, e := range view.Range(sp.from, sp.to) {
			from := view
			if now != view { // messages were expunged and the client does not know
				if fresh, ok := entryNow(now, pos, e.UID); ok {
					e, from = &fresh, now
				}
			}
			if e.ModSeq <= f.since && f.since > 0 {
				continue
			}
			b = f.appendIndex(b, from, pos, e)
			b = append(b, ")\r\n"...)
			if len(b) >= highWater {
				s.out = b
				s.flush()
				if s.err != nil {
					return
				}
				b = s.buf()
			}
		}
	}
	s.out = b
}

// appendIndex begins the response of a message and writes the items that the
// index answers.
func (f *fetcher) appendIndex(b []byte, from *mailbox.Snapshot, pos int, e *mailbox.Entry) []byte {
	b = append(b, "* "...)
	b = imap.AppendNumber(b, uint32(pos+1))
	b = append(b, " FETCH ("...)
	f.first = true
	for i := range f.items {
		if f.items[i].Kind > imap.FetchThreadID {
			continue
		}
		b = f.space(b)
		b = f.appendIndexItem(b, f.items[i].Kind, from, e)
	}
	return b
}

func (f *fetcher) appendIndexItem(b []byte, kind imap.FetchKind, from *mailbox.Snapshot, e *mailbox.Entry) []byte {
	switch kind {
	case imap.FetchFlags:
		b = append(b, "FLAGS "...)
		return append(b, f.s.sel.flagList(from, e)...)
	case imap.FetchUID:
		return imap.AppendNumber(append(b, "UID "...), e.UID)
	case imap.FetchInternalDate:
		return imap.AppendDateTime(append(b, "INTERNALDATE "...), e.InternalDate)
	case imap.FetchSize:
		return imap.AppendNumber(append(b, "RFC822.SIZE "...), e.Size)
	case imap.FetchModSeq:
		return appendModSeq(b, e.ModSeq)
	case imap.FetchSaveDate:
		return imap.AppendDateTime(append(b, "SAVEDATE "...), e.SaveDate)
	case imap.FetchEmailID:
		return append(appendUint(append(b, "EMAILID (M"...), e.Message), ')')
	}
	return append(appendUint(append(b, "THREADID (T"...), e.Thread), ')')
}

// runBatch answers a batch that needs summaries or bodies.
func (f *fetcher) runBatch(batch []item) error {
	f.refresh(batch)
	if f.since > 0 {
		batch = f.changed(batch)
	}
	if f.seen {
		if err := f.markSeen(batch); err != nil {
			return err
		}
	}
	if !f.summary {
		for i := range batch {
			if err := f.one(&batch[i], nil); err != nil {
				return err
			}
		}
		return nil
	}
	return f.withSummaries(batch)
}

// withSummaries answers the messages of a batch as their summaries come; those
// that do not come are gone, or damaged.
func (f *fetcher) withSummaries(batch []item) error {
	next := 0
	var failed error
	err := f.s.sel.mbox.Summaries(f.s.ctx, f.need, entriesOf(batch), func(e mailbox.Entry, sum *message.Summary) bool {
		for ; next < len(batch) && batch[next].entry.UID != e.UID; next++ {
			if failed = f.passOver(&batch[next]); failed != nil {
				return false
			}
		}
		if next == len(batch) {
			return false
		}
		failed = f.one(&batch[next], sum)
		next++
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	for ; next < len(batch) && err == nil; next++ {
		err = f.passOver(&batch[next])
	}
	return err
}

func entriesOf(batch []item) iter.Seq[mailbox.Entry] {
	return func(yield func(mailbox.Entry) bool) {
		for i := range batch {
			if !yield(batch[i].entry) {
				return
			}
		}
	}
}

// refresh takes the entries from the newest snapshot.
func (f *fetcher) refresh(batch []item) {
	f.now = f.s.sel.latest()
	if f.now == f.taken {
		return
	}
	f.s.announceKeywords(f.now)
	for i := range batch {
		if e, ok := entryNow(f.now, batch[i].pos, batch[i].entry.UID); ok {
			batch[i].entry, batch[i].from = e, f.now
		}
	}
}

func (f *fetcher) changed(batch []item) []item {
	out := batch[:0]
	for _, it := range batch {
		if it.entry.ModSeq > f.since {
			out = append(out, it)
		}
	}
	return out
}

// markSeen sets \Seen on a batch, once, before its data is sent.
func (f *fetcher) markSeen(batch []item) error {
	s := f.s
	var uids mailbox.UIDSet
	for i := range batch {
		if batch[i].entry.Flags&mailbox.Seen == 0 {
			uids = addUID(uids, batch[i].entry.UID)
			batch[i].seen = true
		}
	}
	if len(uids) == 0 {
		return nil
	}
	res, err := s.sel.mbox.StoreFlags(s.ctx, mailbox.StoreRequest{UIDs: uids, Op: mailbox.FlagsAdd, Flags: mailbox.Seen})
	if err != nil {
		return err
	}
	// The responses to come carry these flags; what else changed is told now. The
	// view only moves when nothing was expunged, so positions stay. The entries
	// must be no older than what is told here: nothing corrects them later.
	s.update(false, &own{modseq: res.ModSeq})
	f.refresh(batch)
	return nil
}

// one answers for one message.
func (f *fetcher) one(it *item, sum *message.Summary) error {
	s := f.s
	if s.ctx.Err() != nil {
		return s.worked(0)
	}
	f.message = it.entry.Message
	var body blob.Body
	if f.body {
		var err error
		if body, err = f.openBody(it); err != nil || body == nil {
			return err
		}
		defer body.Close()
		s.bodies++
	}
	b := f.appendIndex(s.buf(), it.from, it.pos, &it.entry)
	if it.seen && !f.asks(imap.FetchFlags) {
		b = f.space(b)
		b = f.appendIndexItem(b, imap.FetchFlags, it.from, &it.entry)
	}
	if it.seen && s.condsto && !f.asks(imap.FetchModSeq) {
		b = f.space(b)
		b = appendModSeq(b, it.entry.ModSeq)
	}
	s.out = b
	for i := range f.items {
		if f.items[i].Kind <= imap.FetchThreadID || f.unanswerable(&f.items[i], body, sum) {
			continue
		}
		s.out = f.space(s.out)
		if err := f.content(&f.items[i], body, sum); err != nil {
			return err
		}
	}
	b = s.buf()
	if f.first { // the grammar wants an item at least
		b = f.appendIndexItem(b, imap.FetchUID, f.now, &it.entry)
	}
	s.out = append(b, ")\r\n"...)
	s.pressure()
	if s.err != nil {
		return errAnswered
	}
	if err := blob.Check(body); err != nil {
		s.damaged(err) // the client has got what there is: cut off, it would come again for ever
	}
	return nil
}

func (f *fetcher) asks(kind imap.FetchKind) bool {
	for i := range f.items {
		if f.items[i].Kind == kind {
			return true
		}
	}
	return false
}

// space separates items.
func (f *fetcher) space(b []byte) []byte {
	if f.first {
		f.first = false
		return b
	}
	return append(b, ' ')
}

// content writes one item that needs a summary or the body.
func (f *fetcher) content(it *imap.FetchItem, body blob.Body, sum *message.Summary) error {
	s := f.s
	switch it.Kind {
	case imap.FetchEnvelope:
		s.out = imap.AppendEnvelope(append(s.out, "ENVELOPE "...), &sum.Envelope, s.rev2)
	case imap.FetchBodyStructure:
		s.out = imap.AppendBodyStructure(append(s.out, "BODYSTRUCTURE "...), &sum.Root,
			imap.StructureOptions{Extended: true, UTF8: s.rev2, Global: s.rev2})
	case imap.FetchBodyOld:
		s.out = imap.AppendBodyStructure(append(s.out, "BODY "...), &sum.Root,
			imap.StructureOptions{UTF8: s.rev2, Global: s.rev2})
	case imap.FetchBinary, imap.FetchBinarySize:
		return f.binary(it, body, sum)
	default:
		return f.section(it, body, sum)
	}
	return nil
}
