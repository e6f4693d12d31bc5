package imapd

import (
	"strings"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

// Mailboxes are kept under names in NFC, INBOX in capitals; a client may use any
// other form of a name (RFC 9051 section 5.1), and is told of the one that is kept.

// mailboxArg reads a mailbox name as the session's client writes it.
func (s *session) mailboxArg(p *imap.Parser) string {
	return s.mailboxName(p, p.AString())
}

func (s *session) mailboxName(p *imap.Parser, raw string) string {
	name, ok := imap.DecodeMailbox(raw, s.rev2)
	if !ok {
		p.Fail("The mailbox name is not valid")
	}
	return name
}

// newMailboxArg is mailboxArg where a separator at the end only says that children
// will follow (RFC 9051 section 6.3.4).
func (s *session) newMailboxArg(p *imap.Parser) string {
	return strings.TrimSuffix(s.mailboxArg(p), string(mailbox.Separator))
}

// canonical is the name under which a mailbox is kept, or name when none can have it.
func canonical(name string) string {
	if clean, err := mailbox.CleanName(name); err == nil {
		return clean
	}
	return name
}

// oldName is the OLDNAME item of a LIST response (RFC 9051 section 6.3.9.7) when
// the client gave another name; "" when it did not.
func (s *session) oldName(name, given string) string {
	if name == given {
		return ""
	}
	return string(append(imap.AppendMailbox([]byte(` ("OLDNAME" (`), given, s.rev2), "))"...))
}

// tellName tells a client of IMAP4rev2 the name of a mailbox for which it gave
// another one.
func (s *session) tellName(a attributes, name, given string) {
	if old := s.oldName(name, given); old != "" && s.rev2 {
		s.sendList("LIST", a, name, old)
	}
}
