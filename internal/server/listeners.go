package server

import (
	"fmt"

	"posthouse/internal/config"
)

// Listener is one address of the configuration with what it is for.
type Listener struct {
	Name    string // the key under [listen]
	Key     string // where its address stands, such as "listen.smtp[0]"
	Address string
	Purpose string
}

// Listeners lists every address of a configuration.
func Listeners(cfg *config.Config) []Listener {
	l := &cfg.Listen
	var all []Listener
	for _, s := range []struct {
		name      string
		addresses []string
		purpose   string
	}{
		{"smtp", l.SMTP, "mail from other servers (STARTTLS)"},
		{"submission", l.Submission, "mail from programs and people who log in (STARTTLS)"},
		{"submissions", l.Submissions, "the same with TLS from the start"},
		{"lmtp", l.LMTP, "mail from a server in front"},
		{"imap", l.IMAP, "mailboxes (STARTTLS)"},
		{"imaps", l.IMAPS, "mailboxes with TLS from the start"},
		{"pop3", l.POP3, "INBOX (STLS)"},
		{"pop3s", l.POP3S, "INBOX with TLS from the start"},
		{"http", l.HTTP, "admin API, /metrics, /healthz, /readyz"},
		{"https", l.HTTPS, "the same with TLS"},
	} {
		for i, address := range s.addresses {
			all = append(all, Listener{s.name, fmt.Sprintf("listen.%s[%d]", s.name, i), address, s.purpose})
		}
	}
	return all
}
