package imapd

import (
	"fmt"
	"slices"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdSelect: RFC 9051 section 6.3.2.
func (s *session) cmdSelect(p *imap.Parser) (string, error) { return s.open(p, false) }

// cmdExamine: RFC 9051 section 6.3.3.
func (s *session) cmdExamine(p *imap.Parser) (string, error) { return s.open(p, true) }

func (s *session) open(p *imap.Parser, readOnly bool) (string, error) {
	name := s.mailboxArg(p)
	condstore := p.SelectParams()
	if err := p.End(); err != nil {
		return "", err
	}
	// The old mailbox is closed also when the new one cannot be opened.
	if s.sel != nil {
		s.unselect()
		s.untagged("OK [CLOSED] Previous mailbox is now closed")
	}
	mbox, err := s.acct.Open(s.ctx, name)
	if err != nil {
		return "", err
	}
	s.condsto = s.condsto || condstore
	sel := &selected{mbox: mbox, readOnly: readOnly, view: mbox.Snapshot()}
	sel.changed, sel.stop = mbox.Changed()
	sel.keywords = sel.view.Keywords()
	s.sel, s.state = sel, inMailbox
	s.learnRecent()
	s.describe(canonical(name), name)
	if readOnly {
		return "[READ-ONLY] ", nil
	}
	return "[READ-WRITE] ", nil
}

// describe sends what SELECT tells of a mailbox; given is the name by which the
// client opened it.
func (s *session) describe(name, given string) {
	view := s.sel.view
	st := view.Status()
	s.sendFlagLists(view)
	s.untagged(fmt.Sprintf("%d EXISTS", view.Len()))
	if !s.rev2 {
		s.sel.recentTold = -1
		s.sendRecent()
		if i := firstUnseen(view, st); i >= 0 {
			s.untagged(fmt.Sprintf("OK [UNSEEN %d] First unseen", i+1))
		}
	}
	s.untagged(fmt.Sprintf("OK [UIDVALIDITY %d] UIDs valid", st.UIDValidity))
	s.untagged(fmt.Sprintf("OK [UIDNEXT %d] Predicted next UID", st.UIDNext))
	s.sendHighestModSeq()
	s.untagged("OK [MAILBOXID (" + mailboxID(s.sel.mbox.ID()) + ")] Ok")
	if s.rev2 { // RFC 9051 section 6.3.2
		s.sendList("LIST", s.attributesOf(name), name, s.oldName(name, given))
	}
}

// attributesOf is what LIST says of a mailbox; nothing when it cannot be asked.
func (s *session) attributesOf(name string) attributes {
	infos, err := s.acct.Mailboxes(s.ctx)
	i := slices.IndexFunc(infos, func(in mailbox.Info) bool { return in.Name == name })
	if err != nil || i < 0 {
		return nil
	}
	w := listing{s: s, req: new(imap.List)}
	return w.attributes(&infos[i])
}

func firstUnseen(view *mailbox.Snapshot, st mailbox.Status) int {
	if st.Unseen == 0 {
		return -1
	}
	for i, e := range view.Range(0, view.Len()) {
		if e.Flags&mailbox.Seen == 0 {
			return i
		}
	}
	return -1
}

// The object identifiers of RFC 8474.
func mailboxID(n uint32) string { return fmt.Sprintf("F%d", n) }

// cmdClose: RFC 9051 section 6.4.1: what is \Deleted goes, without a word.
func (s *session) cmdClose(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	var err error
	if !s.sel.readOnly {
		_, err = s.sel.mbox.Expunge(s.ctx, nil, false)
	}
	s.unselect()
	return "", err
}

// cmdUnselect: RFC 3691.
func (s *session) cmdUnselect(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	s.unselect()
	return "", nil
}
