package imapd

import (
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// \Recent is for clients that did not enable IMAP4rev2, which has no such flag: a
// message has it in the first session that was told of it (RFC 3501 section 2.3.2).

// learnRecent adds the messages that no session was told of to the session's own; a
// mailbox opened read-only leaves them for the next session. When that cannot be
// found out the messages are not \Recent here; nothing else depends on it.
func (s *session) learnRecent() {
	if s.rev2 {
		return
	}
	if r, ok, err := s.sel.mbox.Recent(s.ctx, !s.sel.readOnly); ok && err == nil {
		s.sel.recent = append(s.sel.recent, r).Sorted()
	}
}

// sendRecent tells the number of \Recent messages of the view when it is another than
// the client knows (RFC 3501 section 7.3.2).
func (s *session) sendRecent() {
	n := 0
	for _, r := range s.sel.recent {
		n += count(appendUIDs(nil, s.sel.view, imap.Range(r)))
	}
	if n == s.sel.recentTold {
		return
	}
	s.sel.recentTold = n
	b := append(s.buf(), "* "...)
	b = imap.AppendNumber(b, uint32(n))
	s.out = append(b, " RECENT\r\n"...)
}

// flagList is the flags of e, an entry of snap, in this session: "(\Recent \Seen)".
func (sel *selected) flagList(snap *mailbox.Snapshot, e *mailbox.Entry) string {
	list := sel.flags.of(snap, e)
	switch {
	case len(sel.recent) == 0 || !sel.recent.Contains(e.UID):
		return list
	case list == "()":
		return `(\Recent)`
	}
	return `(\Recent ` + list[1:]
}
