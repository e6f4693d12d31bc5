package imapd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// specialUses are the attributes that CREATE may set (RFC 6154 section 2; \All
// and \Flagged would be views, which we do not make).
var specialUses = []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}

// cmdCreate: RFC 9051 section 6.3.4, RFC 6154 section 3.
func (s *session) cmdCreate(p *imap.Parser) (string, error) {
	name := s.newMailboxArg(p)
	uses := p.CreateParams()
	if err := p.End(); err != nil {
		return "", err
	}
	use := ""
	for _, u := range uses {
		i := slices.IndexFunc(specialUses, func(k string) bool { return strings.EqualFold(k, u) })
		if i < 0 || use != "" {
			return "", refuse("[USEATTR] This special use is not possible")
		}
		use = specialUses[i]
	}
	info, err := s.acct.Create(s.ctx, name, use)
	if use != "" && errors.Is(err, mailbox.ErrNotAllowed) {
		return "", refuse("[USEATTR] Another mailbox has this special use")
	}
	if err != nil {
		return "", err
	}
	s.tellName(attributes{}, canonical(name), name)
	return fmt.Sprintf("[MAILBOXID (%s)] ", mailboxID(info.ID)), nil
}

// cmdDelete: RFC 9051 section 6.3.5.
func (s *session) cmdDelete(p *imap.Parser) (string, error) {
	name := s.mailboxArg(p)
	if err := p.End(); err != nil {
		return "", err
	}
	mine := s.sel != nil && s.sel.mbox.Name() == canonical(name)
	if err := s.acct.Delete(s.ctx, name); err != nil {
		return "", err
	}
	if mine { // RFC 9051 section 7.1, CLOSED: back to the authenticated state
		s.unselect()
		s.untagged("OK [CLOSED] The mailbox was deleted")
	}
	s.tellName(attributes{`\NonExistent`}, canonical(name), name)
	return "", nil
}

// cmdRename: RFC 9051 section 6.3.6.
func (s *session) cmdRename(p *imap.Parser) (string, error) {
	from := s.mailboxArg(p)
	p.SP()
	to := s.newMailboxArg(p)
	if err := p.End(); err != nil {
		return "", err
	}
	if err := s.acct.Rename(s.ctx, from, to); err != nil {
		return "", err
	}
	switch now := canonical(to); {
	case canonical(from) == "INBOX": // which is still there
		s.tellName(attributes{}, now, to)
	case canonical(from) != from || now != to:
		s.tellName(attributes{}, now, from)
	}
	return "", nil
}

// cmdSubscribe: RFC 9051 section 6.3.7.
func (s *session) cmdSubscribe(p *imap.Parser) (string, error) { return s.subscribe(p, true) }

// cmdUnsubscribe: RFC 9051 section 6.3.8.
func (s *session) cmdUnsubscribe(p *imap.Parser) (string, error) { return s.subscribe(p, false) }

func (s *session) subscribe(p *imap.Parser, on bool) (string, error) {
	name := s.newMailboxArg(p)
	if err := p.End(); err != nil {
		return "", err
	}
	return "", s.acct.Subscribe(s.ctx, name, on)
}
