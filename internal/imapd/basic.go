package imapd

import "posthouse/internal/imap"

// cmdNoop: RFC 9051 section 6.1.2. CHECK (RFC 3501 section 6.4.1) is the same:
// everything is durable at any time.
func (s *session) cmdNoop(p *imap.Parser) (string, error) { return "", p.End() }

// cmdLogout: RFC 9051 section 6.1.3.
func (s *session) cmdLogout(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	s.untagged("BYE Logging out")
	s.tagged("OK LOGOUT completed")
	s.end = "quit"
	s.state = loggedOut
	return "", errAnswered
}

// cmdID: RFC 2971.
func (s *session) cmdID(p *imap.Parser) (string, error) {
	p.IDParams()
	if err := p.End(); err != nil {
		return "", err
	}
	b := append(s.buf(), `* ID ("name" "Posthouse"`...)
	if v := s.srv.cfg.Version; v != "" {
		b = append(b, ` "version" `...)
		b = imap.AppendString(b, v, false)
	}
	s.out = append(b, ")\r\n"...)
	return "", nil
}

// cmdEnable: RFC 5161. What is not known is passed over; what was enabled before,
// by ENABLE or by another command, is enabled.
func (s *session) cmdEnable(p *imap.Parser) (string, error) {
	var rev2, condstore bool
	for {
		word := p.Keyword()
		rev2 = rev2 || word == "IMAP4REV2"
		condstore = condstore || word == "CONDSTORE"
		if p.Err() != nil || p.AtEnd() {
			break
		}
		p.SP()
	}
	if err := p.End(); err != nil {
		return "", err
	}
	done := "ENABLED"
	if condstore {
		s.enableCondstore()
		done += " CONDSTORE"
	}
	if rev2 {
		s.rev2 = true
		done += " IMAP4rev2"
	}
	s.untagged(done)
	return "", nil
}

// cmdNamespace: RFC 2342: one's own mailboxes, and no others.
func (s *session) cmdNamespace(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	s.untagged(`NAMESPACE (("" "/")) NIL NIL`)
	return "", nil
}
