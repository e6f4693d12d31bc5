package imapd

import (
	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

var errReadOnly = &no{"[READ-ONLY] The mailbox is open read-only"}

// cmdExpunge: RFC 9051 section 6.4.3. The EXPUNGE responses are the update that
// every command ends with.
func (s *session) cmdExpunge(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	return s.expunge(nil)
}

// cmdUIDExpunge: RFC 4315 section 2.1.
func (s *session) cmdUIDExpunge(p *imap.Parser) (string, error) {
	set := p.NumSet()
	if err := p.End(); err != nil {
		return "", err
	}
	spans, err := s.resolve(set, true, false)
	if err != nil {
		return "", err
	}
	uids := s.sel.uids(spans)
	if len(uids) == 0 && !s.sel.readOnly {
		return "", nil // nil would mean all
	}
	return s.expunge(uids)
}

func (s *session) expunge(uids mailbox.UIDSet) (string, error) {
	if s.sel.readOnly {
		return "", errReadOnly
	}
	_, err := s.sel.mbox.Expunge(s.ctx, uids, false)
	return "", err
}
