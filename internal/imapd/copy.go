package imapd

import (
	"errors"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// cmdCopy and cmdUIDCopy: RFC 9051 section 6.4.7.
func (s *session) cmdCopy(p *imap.Parser) (string, error)    { return s.copy(p, false, false) }
func (s *session) cmdUIDCopy(p *imap.Parser) (string, error) { return s.copy(p, true, false) }

// cmdMove and cmdUIDMove: RFC 6851, RFC 9051 section 6.4.8.
func (s *session) cmdMove(p *imap.Parser) (string, error)    { return s.copy(p, false, true) }
func (s *session) cmdUIDMove(p *imap.Parser) (string, error) { return s.copy(p, true, true) }

func (s *session) copy(p *imap.Parser, uid, move bool) (string, error) {
	set := p.NumSet()
	p.SP()
	dest := s.mailboxArg(p)
	if err := p.End(); err != nil {
		return "", err
	}
	spans, err := s.resolve(set, uid, false)
	if err != nil {
		return "", err
	}
	uids := s.sel.uids(spans)
	if move && s.sel.readOnly {
		return "", errReadOnly
	}
	if len(uids) == 0 {
		return "", s.destinationExists(dest)
	}
	run := s.sel.mbox.Copy
	if move {
		run = s.sel.mbox.Move
	}
	res, err := run(s.ctx, uids, dest)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return "", refuse("[TRYCREATE] There is no such mailbox")
	}
	if err != nil {
		return "", err
	}
	if len(res.Source) == 0 {
		if move {
			return "", nil
		}
		return "", refuse("[EXPUNGEISSUED] The messages no longer exist")
	}
	code := appendUint([]byte("[COPYUID "), uint64(res.UIDValidity))
	code = imap.AppendRanges(append(code, ' '), res.Source)
	code = imap.AppendRanges(append(code, ' '), res.Dest)
	code = append(code, "] "...)
	if move { // before the EXPUNGEs (RFC 6851 section 4.3)
		s.untagged("OK " + string(code) + "Moved")
		return "", nil
	}
	return string(code), nil
}

// destinationExists answers a copy of nothing.
func (s *session) destinationExists(dest string) error {
	_, err := s.acct.Status(s.ctx, dest)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return refuse("[TRYCREATE] There is no such mailbox")
	}
	return err
}
