package imapd

import (
	"crypto/tls"
	"strconv"
	"strings"

	"posthouse/internal/imap"
)

// baseCapabilities is what is announced in every state. Each stands for
// something that is finished and tested; nothing else may be in here.
var baseCapabilities = []string{
	"IMAP4rev2",          // RFC 9051
	"IMAP4rev1",          // RFC 3501
	"SASL-IR",            // RFC 4959
	"LITERAL+",           // RFC 7888
	"ID",                 // RFC 2971
	"ENABLE",             // RFC 5161
	"IDLE",               // RFC 2177
	"NAMESPACE",          // RFC 2342
	"UNSELECT",           // RFC 3691
	"UIDPLUS",            // RFC 4315
	"MOVE",               // RFC 6851
	"CHILDREN",           // RFC 3348
	"SPECIAL-USE",        // RFC 6154
	"CREATE-SPECIAL-USE", // RFC 6154
	"LIST-EXTENDED",      // RFC 5258
	"LIST-STATUS",        // RFC 5819
	"STATUS=SIZE",        // RFC 8438
	"ESEARCH",            // RFC 4731
	"SEARCHRES",          // RFC 5182
	"WITHIN",             // RFC 5032
	"BINARY",             // RFC 3516
	"CONDSTORE",          // RFC 7162
	"OBJECTID",           // RFC 8474
	"SAVEDATE",           // RFC 8514
}

// capabilities is the one table behind CAPABILITY.
type capabilities struct {
	base       string
	startTLS   bool
	allowPlain bool
}

func newCapabilities(cfg *Config) *capabilities {
	return &capabilities{
		// RFC 7889 section 2: the limit of all mailboxes.
		base:     strings.Join(baseCapabilities, " ") + " APPENDLIMIT=" + strconv.FormatInt(cfg.MaxMessageSize, 10),
		startTLS: cfg.TLS != nil, allowPlain: cfg.AllowPlaintext,
	}
}

// text is the list for a session as it is now: before login also what it may log
// in with (RFC 9051 section 6.2.1).
func (c *capabilities) text(s *session) string {
	out := c.base
	if s.state != notAuthenticated {
		return out
	}
	if c.startTLS && !s.tls() {
		out += " STARTTLS"
	}
	mechs := s.mechanisms()
	for _, m := range mechs {
		out += " AUTH=" + m
	}
	if len(mechs) == 0 {
		out += " LOGINDISABLED"
	}
	return out
}

// mechanisms is what AUTHENTICATE offers on this connection.
func (s *session) mechanisms() []string {
	if !s.mayLogin() {
		return nil
	}
	return s.srv.cfg.SASL.Mechanisms(s.tlsState())
}

// tlsState is that of the connection, nil without TLS.
func (s *session) tlsState() *tls.ConnectionState {
	if !s.tls() {
		return nil
	}
	return s.conn.TLS()
}

// cmdCapability: RFC 9051 section 6.1.1.
func (s *session) cmdCapability(p *imap.Parser) (string, error) {
	if err := p.End(); err != nil {
		return "", err
	}
	s.untagged("CAPABILITY " + s.srv.caps.text(s))
	return "", nil
}
