package smtpd

import (
	"crypto/tls"
	"fmt"
	"strings"

	"posthouse/internal/envelope"
)

// origin describes this session for an envelope.
func (s *session) origin(utf8 bool) envelope.Origin {
	return envelope.Origin{
		Session: s.id, Door: s.cfg.Door, Protocol: s.protocol(utf8), Remote: s.remote, Name: s.clientName, Helo: s.helo,
		TLS: tlsName(s.conn.TLS()), Login: s.who.Login, Account: s.who.Account,
	}
}

// protocol is the "with" of the Received field (RFC 3848, RFC 6531 section 4.3).
func (s *session) protocol(utf8 bool) string {
	if !s.extended {
		return "SMTP"
	}
	name := "ESMTP"
	switch {
	case s.lmtp() && utf8:
		name = "UTF8LMTP"
	case s.lmtp():
		name = "LMTP"
	case utf8:
		name = "UTF8SMTP"
	}
	if s.conn.TLS() != nil {
		name += "S"
	}
	if s.who.Account != 0 {
		name += "A"
	}
	return name
}

// tlsName is "TLS1.3 TLS_AES_128_GCM_SHA256".
func tlsName(state *tls.ConnectionState) string {
	if state == nil {
		return ""
	}
	version := strings.ReplaceAll(tls.VersionName(state.Version), " ", "")
	return fmt.Sprintf("%s %s", version, tls.CipherSuiteName(state.CipherSuite))
}
