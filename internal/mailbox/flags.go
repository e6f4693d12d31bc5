package mailbox

import (
	"context"

	"posthouse/internal/space"
)

// flagsPage is the most messages that one transaction changes: some 700 KB.
const flagsPage = 8_000

// StoreFlags changes flags. UIDs that are not there are passed over. When it
// returns, Snapshot shows the change. Very many messages are changed in several
// transactions, each with its own modseq; the result has the last.
func (m *Mailbox) StoreFlags(ctx context.Context, r StoreRequest) (StoreResult, error) {
	var res StoreResult
	if r.Op != FlagsRemove && r.Flags&Deleted != 0 {
		ctx = space.For(ctx, space.Clearing)
	}
	uids := m.Snapshot().uidsIn(r.UIDs)
	var err error
	for len(uids) > 0 && err == nil {
		n := min(flagsPage, len(uids))
		var failed UIDSet
		var modseq uint64
		failed, modseq, err = m.b.storeFlags(ctx, uids[:n], &r)
		if err == nil {
			res.Failed = append(res.Failed, failed...)
			res.ModSeq = max(res.ModSeq, modseq)
		}
		uids = uids[n:]
	}
	if shown := m.b.a.changed(ctx, res.ModSeq); err == nil {
		err = shown
	}
	res.Failed = res.Failed.Sorted()
	return res, err
}

func (b *box) storeFlags(ctx context.Context, uids []uint32, r *StoreRequest) (failed UIDSet, modseq uint64, err error) {
	modseq, err = b.a.s.update(ctx, b.a.id, func(e *edit) error {
		failed = nil
		box, err := e.box(b.id)
		if err != nil {
			return err
		}
		bits, err := box.keywordBits(r.Keywords, r.Op != FlagsRemove)
		if err != nil {
			return err
		}
		entries, err := readEntries(e.tx, e.keys, b.id, uids)
		if err != nil {
			return err
		}
		for _, was := range entries {
			// RFC 7162 section 3.1.3
			if r.HasUnchanged && was.ModSeq > r.UnchangedSince {
				failed = failed.Add(was.UID)
				continue
			}
			is := was
			is.Flags, is.Keywords = r.apply(was, bits)
			if is == was {
				continue
			}
			if err := box.change(was, is); err != nil {
				return err
			}
		}
		return nil
	})
	return failed, modseq, err
}

func (r *StoreRequest) apply(e Entry, keywords uint64) (Flags, uint64) {
	switch r.Op {
	case FlagsAdd:
		return e.Flags | r.Flags, e.Keywords | keywords
	case FlagsRemove:
		return e.Flags &^ r.Flags, e.Keywords &^ keywords
	default:
		return r.Flags, keywords
	}
}
