package imapd

import (
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdStatus: RFC 9051 section 6.3.11.
func (s *session) cmdStatus(p *imap.Parser) (string, error) {
	name := s.mailboxArg(p)
	p.SP()
	items := p.StatusItems()
	if err := p.End(); err != nil {
		return "", err
	}
	return "", s.sendStatus(imap.CanonicalPattern(name, mailbox.Separator), items)
}

// sendStatus writes the STATUS response of one mailbox. Asking for HIGHESTMODSEQ
// enables CONDSTORE (RFC 7162 section 3.1).
func (s *session) sendStatus(name string, items imap.StatusItems) error {
	st, err := s.acct.Status(s.ctx, name)
	if err != nil {
		return err
	}
	if items&imap.StatusHighestModSeq != 0 {
		s.enableCondstore()
	}
	b := append(s.buf(), "* STATUS "...)
	b = imap.AppendMailbox(b, name, s.rev2)
	b = append(b, " ("...)
	b = appendStatus(b, st, items, s.srv.cfg.MaxMessageSize)
	s.out = append(b, ")\r\n"...)
	return nil
}

func appendStatus(b []byte, st mailbox.Status, items imap.StatusItems, limit int64) []byte {
	first := true
	item := func(bit imap.StatusItems, word string, n uint64) {
		if items&bit == 0 {
			return
		}
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(b, word...)
		b = appendUint(append(b, ' '), n)
	}
	item(imap.StatusMessages, "MESSAGES", uint64(st.Messages))
	item(imap.StatusRecent, "RECENT", uint64(st.Recent))
	item(imap.StatusUIDNext, "UIDNEXT", uint64(st.UIDNext))
	item(imap.StatusUIDValidity, "UIDVALIDITY", uint64(st.UIDValidity))
	item(imap.StatusUnseen, "UNSEEN", uint64(st.Unseen))
	item(imap.StatusDeleted, "DELETED", uint64(st.Deleted))
	item(imap.StatusSize, "SIZE", uint64(max(st.Size, 0)))
	item(imap.StatusHighestModSeq, "HIGHESTMODSEQ", max(st.HighestModSeq, 1))
	item(imap.StatusAppendLimit, "APPENDLIMIT", uint64(limit))
	if items&imap.StatusMailboxID != 0 {
		if !first {
			b = append(b, ' ')
		}
		b = append(append(b, "MAILBOXID ("...), mailboxID(st.ID)...)
		b = append(b, ')')
	}
	return b
}
